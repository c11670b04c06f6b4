/**
 * The ordered store below the embedded log, as this folder needs it. The state backend has this shape: the runner opens
 * one RocksDB and hands it to both, told apart by the first byte of their keys (design §4).
 *
 * What the log relies on:
 * 1. A batch is applied as a whole or not at all, also across a crash, and batches survive in the order of their writes:
 *    of two writes the second never survives alone, so a synchronous write makes every write before it durable.
 * 2. `put` reads its bytes at once: key and value buffers are reused after the call.
 * 3. Nobody else has the store open.
 */
export interface DbBatch {
  put(key: Buffer, value: Buffer): void
  delete(key: Buffer): void
  readonly operations: number
}

export interface DbEntry {
  readonly key: Buffer
  readonly value: Buffer
}

export interface DbRange {
  readonly gte: Buffer
  readonly lt: Buffer
  readonly limit: number
  readonly reverse?: boolean
  /** Values come empty: for deleting. */
  readonly keysOnly?: boolean
}

export interface EmbeddedDb {
  range(options: DbRange): Promise<readonly DbEntry[]>
  batch(): DbBatch
  write(batch: DbBatch, options: { readonly sync: boolean }): Promise<void>
  /** Gives back the space of what was deleted in a range. Absent where it takes none. */
  compact?(gte: Buffer, lt: Buffer): Promise<void>
}

/** Every entry from `gte` up to `lt`, read in pages. For scans at opening. */
export async function* scan(db: EmbeddedDb, gte: Buffer, lt: Buffer, pageEntries = 256): AsyncGenerator<DbEntry> {
  for (let from = gte; ; ) {
    const page = await db.range({ gte: from, lt, limit: pageEntries })
    yield* page
    const last = page[page.length - 1]
    if (last === undefined || page.length < pageEntries) return
    from = Buffer.concat([last.key, Buffer.of(0)])
  }
}
