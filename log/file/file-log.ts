/**
 * The log of a replay: one input file, output files, and a journal file whose frames are the commits (FORMAT.md).
 *
 * Invariants: 1. an output line counts if and only if a frame of the journal covers it (I1); on opening, whatever is
 * beyond the last frame is cut; 2. one process at a time (a lock beside the journal); 3. one partition a topic, and the
 * input's line order is the total order; 4. nothing is synced but once, on close: a power cut costs the epochs that were
 * not written yet, found by their lengths.
 */
import { realpathSync, rmSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { assert, WeirError } from '../../kernel/index.js'
import {
  type Append,
  type Log,
  type LogCommitter,
  type LogRange,
  type LogReader,
  type Offset,
  offset,
  type Position,
  type TopicPartition,
} from '../port.js'
import { type InputOptions, type InputProgress, InputReader, readHeader } from './input.js'
import { JournalReader } from './journal-reader.js'
import { OutputLock } from './lock.js'
import { Outputs } from './outputs.js'

export interface FileLogOptions {
  readonly input: InputOptions
  /** Path of each output topic. */
  readonly outputs: ReadonlyMap<string, string>
  /** The directory of the journal exists; the lock lies in it. */
  readonly journal: { readonly topic: string; readonly path: string }
  /** Forget an unfinished run: its journal is removed, under the lock, and so its outputs are cut to nothing. */
  readonly fresh?: boolean
}

export class FileLog implements Log {
  readonly totalOrder = true
  readonly #options: FileLogOptions
  readonly #header: string
  readonly #bytesTotal: number
  readonly #lock: OutputLock
  readonly #outputs: Outputs
  readonly #committers = new Map<string, FileCommitter>()
  #input: InputReader | undefined
  #recordsSeen = 0
  #closed = false

  private constructor(options: FileLogOptions, header: string, bytesTotal: number, lock: OutputLock, outputs: Outputs) {
    this.#options = options
    this.#header = header
    this.#bytesTotal = bytesTotal
    this.#lock = lock
    this.#outputs = outputs
  }

  /**
   * Takes the lock, reads the header, and brings outputs and journal to the last commit.
   * @throws WeirError INPUT_UNREADABLE, OUTPUT_UNWRITABLE, DIRECTORY_IN_USE, JOURNAL_CORRUPT, STATE_FORMAT, REPLAY_MISMATCH,
   * USAGE when two of the files are one
   */
  static async open(options: FileLogOptions): Promise<FileLog> {
    refuseSameFiles(options)
    const { header, bytesTotal } = await readHeader(options.input)
    const lock = OutputLock.take(join(dirname(resolve(options.journal.path)), 'lock'))
    try {
      if (options.fresh === true) rmSync(options.journal.path, { force: true })
      return new FileLog(options, header, bytesTotal, lock, Outputs.open(options.outputs, options.journal))
    } catch (error) {
      lock.release()
      throw error
    }
  }

  /** The input's first line; '' where it has none. */
  header(): string {
    return this.#header
  }

  /** Physical lines before record 0. */
  get headerLines(): number {
    return this.#options.input.hasHeader ? 1 : 0
  }

  /** Epochs that had been committed and were given up on opening, because an output file had become shorter. */
  get epochsGivenUp(): number {
    return this.#outputs.epochsGivenUp
  }

  /** How far the reader that was opened last has come. */
  progress(): InputProgress {
    return { bytesRead: this.#input?.bytesRead ?? 0, bytesTotal: this.#bytesTotal }
  }

  /** The topics are those of the options; creating one of them changes nothing. @throws WeirError UNKNOWN_TOPIC */
  async createTopic(topic: string, partitions: number): Promise<void> {
    assert(partitions === 1, 'a file is one partition')
    this.#known(topic)
  }

  async partitionCount(topic: string): Promise<number> {
    this.#known(topic)
    return 1
  }

  /**
   * Exact for the journal. The end of the input is unknown until it was read: `latest` is then the end of what was.
   * @throws WeirError UNKNOWN_TOPIC: outputs cannot be read through this log
   */
  async range(at: TopicPartition): Promise<LogRange> {
    const latest = this.#readable(at) === 'journal' ? this.#outputs.journal.frameCount : this.#inputEnd()
    return { earliest: offset(0), latest: offset(latest) }
  }

  /** @param from one position, of the input or of the journal */
  async reader(from: readonly Position[]): Promise<LogReader> {
    const position = from[0]
    assert(position !== undefined && from.length === 1, 'a reader of a file log has one partition')
    if (this.#readable(position) === 'journal') {
      return new JournalReader(position.topic, this.#outputs.journal, position.offset)
    }
    this.#inputEnd()
    this.#input = new InputReader(this.#options.input, position.offset)
    return this.#input
  }

  async committer(id: string): Promise<LogCommitter> {
    assert(!this.#closed, 'the log is open')
    this.#committers.get(id)?.fence()
    this.#outputs.discardPending()
    const committer = new FileCommitter(id, this.#outputs)
    this.#committers.set(id, committer)
    return committer
  }

  close(): Promise<void> {
    return this.#close(false)
  }

  /**
   * Closes, and then removes the journal, still under the lock: the outputs are final, and whoever opens them next starts
   * from nothing.
   */
  finish(): Promise<void> {
    return this.#close(true)
  }

  async #close(final: boolean): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const committer of this.#committers.values()) committer.fence()
    try {
      await this.#input?.close()
      this.#outputs.close()
      if (final) rmSync(this.#options.journal.path, { force: true })
    } finally {
      this.#lock.release()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #inputEnd(): number {
    const position = this.#input?.positions()[0]
    if (position !== undefined) this.#recordsSeen = Math.max(this.#recordsSeen, Number(position.offset))
    return this.#recordsSeen
  }

  #readable(at: TopicPartition): 'input' | 'journal' {
    if (at.partition === 0 && at.topic === this.#options.input.topic) return 'input'
    if (at.partition === 0 && at.topic === this.#options.journal.topic) return 'journal'
    throw new WeirError('UNKNOWN_TOPIC', `${at.topic}/${at.partition} cannot be read from this file log`)
  }

  #known(topic: string): void {
    const { input, journal, outputs } = this.#options
    if (topic === input.topic || topic === journal.topic || outputs.has(topic)) return
    throw new WeirError('UNKNOWN_TOPIC', `this file log has no topic ${topic}`)
  }
}

class FileCommitter implements LogCommitter {
  readonly id: string
  readonly #outputs: Outputs
  #state: 'live' | 'fenced' | 'failed' = 'live'

  constructor(id: string, outputs: Outputs) {
    this.id = id
    this.#outputs = outputs
  }

  fence(): void {
    this.#state = 'fenced'
  }

  /** One append to the journal, of one record, belongs to every commit. */
  async commit(appends: readonly Append[]): Promise<readonly (Offset | undefined)[]> {
    if (this.#state === 'fenced')
      throw new WeirError('SLOT_FENCED', `${this.id} has a newer committer, or its log is closed`)
    if (this.#state === 'failed') throw new WeirError('COMMIT_INDEFINITE', `an earlier commit of ${this.id} failed`)
    try {
      return this.#outputs.commit(appends)
    } catch (error) {
      this.#state = 'failed'
      throw error
    }
  }

  async close(): Promise<void> {
    this.#state = 'fenced'
  }
}

/** The input must not be overwritten, and no two outputs may share a file. @throws WeirError USAGE */
function refuseSameFiles(options: FileLogOptions): void {
  const seen = new Map<string, string>()
  const files = [options.input.path, ...options.outputs.values(), options.journal.path]
  for (const path of files) {
    const file = fileIdentity(path)
    const other = seen.get(file)
    if (other !== undefined) throw new WeirError('USAGE', `${path} and ${other} are the same file`)
    seen.set(file, path)
  }
}

/** The same for every name of a file, hard links included. */
function fileIdentity(path: string): string {
  try {
    const { dev, ino } = statSync(realpathSync(path), { bigint: true })
    return `${dev}:${ino}`
  } catch {
    // it does not exist yet, or cannot be read, which opening it will say
    return resolve(path)
  }
}
