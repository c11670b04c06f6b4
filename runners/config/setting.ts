/** One row of the table of settings. */
export interface Setting {
  /** Path in weir.config.yaml. */
  readonly key: string
  readonly env: string
  readonly flag: string
  readonly kind: 'text' | 'number'
  readonly fallback: string | number | undefined
  readonly min?: number
  readonly max?: number
  readonly secret?: true
  /** Only verbs that speak to Kafka take it as a flag. */
  readonly kafka?: true
  readonly about: string
}
