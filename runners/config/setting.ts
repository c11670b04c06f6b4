/** One row of the table of settings. */
export interface Setting {
  /** Path in weir.config.yaml. */
  readonly key: string
  readonly env: string
  readonly flag: string
  /** A duration is a whole number with its unit, ms, s, m, h or d; or `forever`. Bytes are a whole number with m or g. */
  readonly kind: 'text' | 'number' | 'duration' | 'bytes'
  readonly fallback: string | number | undefined
  readonly min?: number
  readonly max?: number
  readonly secret?: true
  /** Only verbs that speak to Kafka take it as a flag. */
  readonly kafka?: true
  /** Only workers heed it. */
  readonly worker?: true
  readonly about: string
}
