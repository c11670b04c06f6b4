/** The answer of a decision view. */
export type Found =
  | { readonly kind: 'found'; readonly decision: Buffer }
  /** Several customers have a decision of this transaction id. */
  | { readonly kind: 'ambiguous' }
  | { readonly kind: 'unknown' }
