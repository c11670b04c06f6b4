/**
 * The output files and the journal that commits them (I1): values are appended first, then one frame with the files'
 * new lengths; bytes beyond the lengths in the last frame do not exist.
 */
import { closeSync, fdatasync, fstatSync, fsyncSync, openSync, statSync } from 'node:fs'
import { assert, defined, WeirError } from '../../kernel/index.js'
import { type Append, type EncodedRecords, type Offset, offset } from '../port.js'
import { JournalFile, truncateFd, unwritable, writeFully } from './journal-file.js'

const newline = Buffer.from('\n')
const NEWLINE = 10
/** Bytes of an output after which the disk begins to take them, beside what goes on: else the sync at the end waits for all. */
const bytesPerFlush = 32 << 20

interface OutputFile {
  readonly path: string
  readonly fd: number
  /** Committed bytes. */
  length: number
  /** Bytes appended since. */
  pending: number
  /** Committed bytes that the disk has been asked to take. */
  flushed: number
  flushing: boolean
}

export class Outputs {
  readonly journal: JournalFile
  /** Frames that were cut off on opening because an output no longer held what they had committed. */
  readonly epochsGivenUp: number
  readonly #journalTopic: string
  /** By topic, in the order of their names: the order of the lengths in a frame. */
  readonly #files = new Map<string, OutputFile>()
  #written = false
  #closed = false
  #flushError: Error | undefined

  private constructor(journal: JournalFile, journalTopic: string, files: ReadonlyMap<string, OutputFile>) {
    this.journal = journal
    this.#journalTopic = journalTopic
    this.#files = new Map(files)
    this.epochsGivenUp = this.#walkBack()
    this.discardPending()
  }

  /** Opens or creates all files, and brings them to the last commit that they all hold. */
  static open(
    outputs: ReadonlyMap<string, string>,
    journal: { readonly topic: string; readonly path: string },
  ): Outputs {
    const topics = [...outputs.keys()].sort((a, b) => (a < b ? -1 : 1))
    const files = new Map<string, OutputFile>()
    let journalFile: JournalFile | undefined
    try {
      // the journal first: an output must not be touched when the journal is not ours
      journalFile = JournalFile.open(journal.path, topics)
      for (const topic of topics) files.set(topic, openOutput(defined(outputs.get(topic), topic)))
      return new Outputs(journalFile, journal.topic, files)
    } catch (error) {
      journalFile?.close()
      for (const file of files.values()) closeSync(file.fd)
      throw error
    }
  }

  /**
   * Appends everything, then the frame.
   * @returns for the journal's append its frame
   * @throws WeirError UNKNOWN_TOPIC, OUTPUT_UNWRITABLE; nothing is committed then, and `discardPending` undoes the rest
   */
  commit(appends: readonly Append[]): (Offset | undefined)[] {
    this.#written = true
    this.#throwFlushError()
    let record: Uint8Array | undefined
    for (const append of appends) {
      if (append.topic === this.#journalTopic) {
        assert(record === undefined, 'one append to the journal a commit')
        record = journalRecord(append)
        continue
      }
      const file = this.#files.get(append.topic)
      if (file === undefined || append.partition !== 0) {
        throw new WeirError('UNKNOWN_TOPIC', `${append.topic}/${append.partition} is no output of this log`)
      }
      file.pending += write(file, append)
    }
    const lengths: number[] = []
    for (const file of this.#files.values()) lengths.push(file.length + file.pending)
    const frame = offset(this.journal.frameCount)
    this.journal.append(lengths, defined(record, 'the journal record of the commit'))
    for (const file of this.#files.values()) {
      file.length += file.pending
      file.pending = 0
      this.#flush(file)
    }
    return appends.map(append => (append.topic === this.#journalTopic ? frame : undefined))
  }

  /** Cuts everything beyond the last commit. */
  discardPending(): void {
    this.journal.truncate(this.journal.frameCount)
    for (const file of this.#files.values()) {
      truncateFd(file.fd, file.length, file.path)
      file.pending = 0
    }
  }

  #flush(file: OutputFile): void {
    if (file.flushing || file.length - file.flushed < bytesPerFlush) return
    file.flushing = true
    file.flushed = file.length
    fdatasync(file.fd, error => {
      file.flushing = false
      // What a closed file says of it is nothing: the sync before it was closed has told.
      if (error !== null && !this.#closed) this.#flushError ??= unwritable(file.path, error)
    })
  }

  /** The system tells of a write that failed once, whoever asks first. */
  #throwFlushError(): void {
    if (this.#flushError !== undefined) throw this.#flushError
  }

  /** The sync that a replay ends with: outputs first, so that no frame outlives what it commits. */
  close(): void {
    this.#closed = true
    try {
      this.#throwFlushError()
      if (this.#written) {
        for (const file of this.#files.values()) fsyncSync(file.fd)
        this.journal.sync()
      }
    } finally {
      for (const file of this.#files.values()) closeSync(file.fd)
      this.journal.close()
    }
  }

  /** Goes back to the newest frame whose lengths all fit, and takes its lengths. @returns frames given up */
  #walkBack(): number {
    const files = [...this.#files.values()]
    const sizes = files.map(file => fstatSync(file.fd).size)
    const frames = this.journal.frameCount
    let kept = frames
    for (; kept > 0; kept--) {
      const { lengths } = this.journal.read(kept - 1)
      if (lengths.some((length, i) => length > sizes[i]!)) continue
      for (const [i, file] of files.entries()) file.length = lengths[i]!
      break
    }
    if (kept < frames) this.journal.truncate(kept)
    return frames - kept
  }
}

function openOutput(path: string): OutputFile {
  try {
    // looked at before it is opened: opening a pipe would wait for its reader
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === false) throw new Error('it is not a regular file')
    return { path, fd: openSync(path, 'a'), length: 0, pending: 0, flushed: 0, flushing: false }
  } catch (error) {
    throw unwritable(path, error)
  }
}

function journalRecord(append: Append): Uint8Array {
  const records = append.records
  assert(!isEncoded(records) && records.length === 1, 'one record for the journal a commit')
  return defined(records[0]!.value, 'value of the journal record')
}

function isEncoded(records: Append['records']): records is EncodedRecords {
  return !Array.isArray(records)
}

/** @returns bytes appended */
function write(file: OutputFile, append: Append): number {
  const records = append.records
  if (isEncoded(records)) {
    if (records.count === 0) return 0
    const from = records.valueStart[0]!
    const to = records.valueEnd[records.count - 1]! + 1
    assert(records.bytes[to - 1] === NEWLINE, 'encoded records end with a newline')
    writeFully(file.fd, records.bytes.subarray(from, to), file.path)
    return to - from
  }
  if (records.length === 0) return 0
  const parts: Uint8Array[] = []
  for (const { value } of records) {
    const bytes = defined(value, 'value of a record for a file')
    assert(!bytes.includes(NEWLINE), 'a value for a file is one line')
    parts.push(bytes, newline)
  }
  const lines = Buffer.concat(parts)
  writeFully(file.fd, lines, file.path)
  return lines.length
}
