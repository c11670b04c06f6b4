/**
 * The one writer of the embedded log. Everything that changes the database goes through its queue: what waits while a
 * write is under way becomes the next batch (group commit), so a sync is shared by all who need one.
 *
 * Invariants:
 * 1. One write at a time, in the order of the calls: offsets become visible in order, and a fencing is seen by every
 *    commit that was asked for after it (I4).
 * 2. A job that throws while it is staged has staged nothing and fails alone.
 * 3. Readers see a batch only after its write has succeeded (I1).
 * 4. After a write that failed nothing is written any more: what the disk has is unknown until the log is opened again.
 */
import { assert, BoundedQueue, crc32, messageOf, WeirError } from '../../kernel/index.js'
import { countOf, type Doorbell, Entry, EntryEncoder, type Records } from '../entries/index.js'
import type { DbBatch, EmbeddedDb } from './db.js'
import { entryKey, setLastOffset, syncKey } from './keys.js'
import type { EmbeddedPartition } from './partition.js'

/** Calls that may wait for the writer. */
export const writesWaitingMax = 4096
/** A batch takes no further call once it holds this many records. */
export const batchRecordsMax = 65_536

export interface Staging {
  /** @returns the offset of the first record */
  append(partition: EmbeddedPartition, records: Records): number
  readonly batch: DbBatch
}

interface Job {
  readonly sync: boolean
  readonly stage: (into: Staging) => void
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

export class Writer implements Staging {
  readonly #db: EmbeddedDb
  readonly #bell: Doorbell
  readonly #nowMs: () => number
  readonly #queue = new BoundedQueue<Job>('writes of the embedded log', writesWaitingMax)
  readonly #encoder = new EntryEncoder()
  readonly #staged = new Map<EmbeddedPartition, Records[]>()
  #stagedRecords = 0
  #batch: DbBatch | undefined
  #running: Promise<void> | undefined
  #unsynced = false
  #failure: WeirError | undefined

  constructor(db: EmbeddedDb, bell: Doorbell, nowMs: () => number) {
    this.#db = db
    this.#bell = bell
    this.#nowMs = nowMs
  }

  get batch(): DbBatch {
    this.#batch ??= this.#db.batch()
    return this.#batch
  }

  /**
   * Runs `stage` in its turn and resolves with what it returned once the batch is written.
   * @throws whatever `stage` throws; WeirError QUEUE_FULL, BACKEND_FAILED (not written), COMMIT_INDEFINITE
   */
  submit<T>(sync: boolean, stage: (into: Staging) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#failure !== undefined) throw this.#failure
      let result: T
      this.#queue.push({
        sync,
        stage: into => {
          result = stage(into)
        },
        done: () => resolve(result),
        failed: reject,
      })
      this.#running ??= this.#run()
    })
  }

  /** Resolves when nothing is waiting any more. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  /** Only from within a `stage`. */
  append(partition: EmbeddedPartition, records: Records): number {
    const first = partition.next
    const count = countOf(records)
    if (count === 0) return first
    const staged = this.#staged.get(partition)
    if (staged === undefined) this.#staged.set(partition, [records])
    else staged.push(records)
    partition.next += count
    this.#stagedRecords += count
    return first
  }

  async #run(): Promise<void> {
    await Promise.resolve() // calls of the same turn go together
    while (this.#queue.size > 0) {
      const jobs: Job[] = []
      try {
        await this.#write(jobs)
      } catch (error) {
        this.#fail(error, jobs)
        break
      }
      for (const job of jobs) job.done()
    }
    this.#running = undefined
  }

  /** Stages waiting jobs into `jobs` and writes them as one batch. */
  async #write(jobs: Job[]): Promise<void> {
    let sync = false
    while (this.#stagedRecords < batchRecordsMax) {
      const job = this.#queue.shift()
      if (job === undefined) break
      try {
        job.stage(this)
      } catch (error) {
        job.failed(error)
        continue
      }
      jobs.push(job)
      sync = sync || job.sync
    }
    this.#encodeStaged()
    // An empty batch would not reach the write-ahead log, so a sync alone writes a key.
    if (sync && this.#unsynced && this.#batch === undefined) this.batch.put(syncKey, Buffer.alloc(0))
    const batch = this.#batch
    if (batch === undefined || batch.operations === 0) return
    this.#batch = undefined
    await this.#db.write(batch, { sync })
    this.#unsynced = !sync
    for (const partition of this.#staged.keys()) partition.latest = partition.next
    this.#staged.clear()
    this.#stagedRecords = 0
    this.#bell.ring()
  }

  #encodeStaged(): void {
    const encoder = this.#encoder
    const timestampMs = this.#nowMs()
    for (const [partition, staged] of this.#staged) {
      const key = entryKey(partition.topicId, partition.partition, 0)
      let next = partition.latest
      const putEntry = (): void => {
        next += encoder.count
        setLastOffset(key, next - 1)
        const seed = crc32(key)
        const bytes = encoder.finish(timestampMs, seed)
        this.batch.put(key, bytes)
        partition.tail.push(new Entry(partition, Buffer.from(bytes), next - 1, next, seed))
        encoder.reset()
      }
      encoder.reset()
      for (const records of staged) {
        const count = countOf(records)
        for (let from = 0; from < count; ) {
          from = encoder.add(records, from)
          if (encoder.full) putEntry()
        }
      }
      if (encoder.count > 0) putEntry()
      assert(
        next === partition.next,
        `${partition.topic}/${partition.partition} ends at ${next}, staged to ${partition.next}`,
      )
    }
  }

  #fail(cause: unknown, jobs: readonly Job[]): void {
    const what = messageOf(cause)
    this.#failure = new WeirError('BACKEND_FAILED', `the log takes no writes after one failed: ${what}`, { cause })
    const indefinite = new WeirError('COMMIT_INDEFINITE', `the write of the log failed: ${what}`, { cause })
    for (const job of jobs) job.failed(indefinite)
    for (let job = this.#queue.shift(); job !== undefined; job = this.#queue.shift()) job.failed(this.#failure)
  }
}
