/**
 * The delta spool: the operations of every write-back since the last checkpoint, in files of the data directory, so that the
 * next checkpoint reads what changed and nothing else (FORMAT.md).
 *
 * Invariants:
 * 1. The chain names a state by how it was made: each write-back hashes the chain before it, its operations' checksums and its
 *    position. The store keeps the chain with its content, in one batch. Two states of one chain are the same, byte by byte.
 * 2. What the spool holds ends at the store's chain or beyond: a write-back is appended before the backend has it. `align` cuts
 *    what is ahead; a spool that does not know the store's chain is dropped, and the next checkpoint is a full one.
 * 3. I6: it never exceeds `bytesMax`: past it, it is dropped. It is a cache of the log like all state: no failure of it stops a
 *    slot, and nothing of it is synced (a torn record is found by its checksum).
 *
 * One owner; no two calls at a time, but for `read` and `release`, which may run beside `append`.
 */
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { assert, ByteWriter, crc32, messageOf, sha256Hex } from '../../kernel/index.js'
import type { WriteBatch } from '../backend.js'
import type { StatePosition } from '../meta.js'
import { encodeOperation } from './segment.js'
import { encodeFrame, encodeHeader, headerBytes, readFrames, readPayload, writeAt } from './spool-file.js'

export interface SpoolOptions {
  /** Created when missing; the spool's alone. */
  readonly directory: string
  /** Of all its files. */
  readonly bytesMax?: number
  readonly onDropped: (reason: string) => void
}

const defaults = { bytesMax: 256 << 20 }
/** Of operations, in one record: what is read, checked and passed on at a time. */
const recordBytes = 256 << 10

/** The operations of one write-back, beside the batch that they fill. */
export class RecordedBatch implements WriteBatch {
  readonly records: Buffer[] = []
  readonly #inner: WriteBatch
  readonly #namespaceBytes: number
  readonly #record = new ByteWriter(1_024)

  constructor(inner: WriteBatch, namespaceBytes: number) {
    this.#inner = inner
    this.#namespaceBytes = namespaceBytes
  }

  get operations(): number {
    return this.#inner.operations
  }

  put(key: Buffer, value: Buffer): void {
    this.#inner.put(key, value)
    this.#note(key, value)
  }

  delete(key: Buffer): void {
    this.#inner.delete(key)
    this.#note(key, undefined)
  }

  #note(key: Buffer, value: Buffer | undefined): void {
    encodeOperation(this.#record, key.subarray(this.#namespaceBytes), value)
    if (this.#record.length >= recordBytes) this.finish()
  }

  finish(): void {
    if (this.#record.length > 0) this.records.push(this.#record.take())
  }
}

const chainOf = (file: SpoolFile): string => file.ends.at(-1)?.chain ?? file.since

interface SpoolFile {
  readonly number: number
  /** The chain before its first write-back. */
  readonly since: string
  bytes: number
  /** Where each write-back ends, and the chain then. */
  readonly ends: { readonly chain: string; readonly at: number }[]
}

/** Everything that had been appended when a checkpoint began. */
export interface SpoolMark {
  readonly before: number
}

export class DeltaSpool {
  readonly #directory: string
  readonly #bytesMax: number
  readonly #onDropped: (reason: string) => void
  /** Oldest first; none while nothing is recorded. */
  #files: SpoolFile[] = []
  #writing: FileHandle | undefined
  #next = 0

  private constructor(options: SpoolOptions) {
    this.#directory = options.directory
    this.#bytesMax = options.bytesMax ?? defaults.bytesMax
    this.#onDropped = options.onDropped
  }

  /** Takes up what a run before has left; what cannot be used is dropped, and said. */
  static async open(options: SpoolOptions): Promise<DeltaSpool> {
    const spool = new DeltaSpool(options)
    try {
      await mkdir(options.directory, { recursive: true })
      await spool.#load()
    } catch (error) {
      await spool.drop(messageOf(error))
    }
    return spool
  }

  /** Write-backs are being kept. */
  get recording(): boolean {
    return this.#files.length > 0
  }

  get bytes(): number {
    return this.#files.reduce((sum, file) => sum + file.bytes, 0)
  }

  #path(file: { readonly number: number }): string {
    return join(this.#directory, `${String(file.number).padStart(8, '0')}.spool`)
  }

  async #load(): Promise<void> {
    const names = (await readdir(this.#directory)).filter(name => /^\d{8}\.spool$/.test(name)).sort()
    const files: SpoolFile[] = []
    for (const name of names) {
      const number = Number(name.slice(0, 8))
      this.#next = number + 1
      const { since, frames } = await readFrames(join(this.#directory, name))
      const last = files.at(-1)
      if (last !== undefined && chainOf(last) !== since)
        throw new Error(`${name} does not go on from the file before it`)
      const ends = frames.flatMap(({ chain, to }) => (chain === undefined ? [] : [{ chain, at: to }]))
      files.push({ number, since, ends, bytes: ends.at(-1)?.at ?? headerBytes })
    }
    this.#files = files
  }

  /**
   * The store has been read: it is of this chain. Cuts what is ahead of it, or drops everything.
   * @param chain '' when the store does not know, undefined when it is empty
   */
  async align(chain: string | undefined): Promise<void> {
    if (!this.recording) return
    const at = chain === undefined ? undefined : this.#find(chain)
    if (at === undefined) return this.drop('it is not in line with the store')
    await this.#guarded(async () => {
      await this.#writing?.close()
      this.#writing = undefined
      const { file, offset } = at
      const index = this.#files.indexOf(file)
      for (const later of this.#files.splice(index + 1)) await rm(this.#path(later), { force: true })
      while ((file.ends.at(-1)?.at ?? 0) > offset) file.ends.pop()
      file.bytes = offset
      this.#writing = await open(this.#path(file), 'r+')
      await this.#writing.truncate(offset)
    })
  }

  #find(chain: string): { readonly file: SpoolFile; readonly offset: number } | undefined {
    for (const file of [...this.#files].reverse()) {
      const end = file.ends.findLast(end => end.chain === chain)
      if (end !== undefined) return { file, offset: end.at }
      if (file.since === chain) return { file, offset: headerBytes }
    }
    return undefined
  }

  /**
   * Before the backend has the write-back. @returns the chain that it makes, for the store to keep
   */
  async append(before: string, batch: RecordedBatch, position: StatePosition): Promise<string> {
    batch.finish()
    const sums = batch.records.map(record => crc32(record))
    const chain = sha256Hex(JSON.stringify([before, position.epoch, position.journalHash, sums]))
    const file = this.#files.at(-1)
    if (file === undefined) return chain
    assert(this.#writing !== undefined && chainOf(file) === before, 'the spool is in line with the store')
    const records = batch.records.length === 0 ? [Buffer.alloc(0)] : batch.records
    const parts = records.flatMap((record, i) => encodeFrame(record, i === records.length - 1 ? chain : undefined))
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    if (this.bytes + bytes > this.#bytesMax) await this.drop(`it would exceed ${this.#bytesMax} bytes`)
    else {
      await this.#guarded(async () => {
        await writeAt(this.#writing!, parts, file.bytes)
        file.bytes += bytes
        file.ends.push({ chain, at: file.bytes })
      })
    }
    return chain
  }

  /** From here on, of a store of this chain, write-backs are kept. What was kept before is gone. */
  async start(chain: string): Promise<SpoolMark> {
    await this.#empty()
    await this.#guarded(() => this.#begin(chain))
    return { before: this.#next - 1 }
  }

  /** What is appended from here on is not in the checkpoint that begins now. */
  async mark(): Promise<SpoolMark> {
    const last = this.#files.at(-1)
    assert(last !== undefined, 'write-backs are being kept')
    if (last.ends.length > 0) await this.#guarded(() => this.#begin(chainOf(last)))
    return { before: this.#files.at(-1)?.number ?? this.#next }
  }

  async #begin(since: string): Promise<void> {
    await this.#writing?.close()
    this.#writing = undefined
    const file: SpoolFile = { number: this.#next++, since, bytes: headerBytes, ends: [] }
    this.#writing = await open(this.#path(file), 'w+')
    await writeAt(this.#writing, [encodeHeader(since)], 0)
    this.#files.push(file)
  }

  /** Everything between this chain and the mark is there. */
  holds(from: string): boolean {
    return this.#find(from) !== undefined
  }

  /** The operations of the write-backs from this chain to the mark, in the order in which they were made. */
  async *read(from: string, mark: SpoolMark): AsyncIterable<Buffer> {
    const start = this.#find(from)
    if (start === undefined) throw new Error('the spool was dropped')
    const files = this.#files.slice(this.#files.indexOf(start.file)).filter(file => file.number < mark.before)
    for (const file of files) {
      const first = file === start.file ? start.offset : headerBytes
      const { frames } = await readFrames(this.#path(file))
      const handle = await open(this.#path(file), 'r')
      try {
        for (const frame of frames)
          if (frame.from >= first && frame.to <= file.bytes) yield await readPayload(handle, frame)
      } finally {
        await handle.close()
      }
    }
  }

  /** A checkpoint has it. */
  async release(mark: SpoolMark): Promise<void> {
    while (this.#files.length > 1 && this.#files[0]!.number < mark.before) {
      await rm(this.#path(this.#files.shift()!), { force: true })
    }
  }

  /** Write-backs are no longer kept. */
  async drop(reason: string): Promise<void> {
    this.#onDropped(reason)
    await this.#empty()
  }

  async #empty(): Promise<void> {
    this.#files = []
    const writing = this.#writing
    this.#writing = undefined
    try {
      await writing?.close()
      for (const name of await readdir(this.#directory)) await rm(join(this.#directory, name), { force: true })
    } catch (error) {
      this.#onDropped(`its files could not be removed: ${messageOf(error)}`)
    }
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      await this.drop(messageOf(error))
    }
  }

  async close(): Promise<void> {
    await this.#writing?.close()
    this.#writing = undefined
  }
}
