/**
 * The journal file: a header that names the outputs, then one frame for each commit (FORMAT.md).
 *
 * Invariants:
 * 1. A frame is committed when all of it is there; what a crash leaves of the last one is cut off on opening.
 * 2. Damage anywhere else is JOURNAL_CORRUPT: nothing after it is dropped silently.
 * 3. Memory: eight bytes a frame for its place, and one frame at a time (at most `frameBytesMax`).
 */
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { ByteReader, ByteWriter, crc32, messageOf, WeirError } from '../../kernel/index.js'

/** A frame's payload is at most this long. */
export const frameBytesMax = 16 << 20

const magic = Buffer.from('WEIRFLOG')
const formatVersion = 1
const frameHeaderBytes = 8
const frameKind = 1

export interface Frame {
  /** Bytes of each output that are committed, in the order of the header's names. */
  readonly lengths: readonly number[]
  /** The journal topic's record; a copy. */
  readonly record: Buffer
}

export class JournalFile {
  readonly #fd: number
  readonly #path: string
  readonly #outputs: number
  /** Where each frame begins, and at the end where the next one will. */
  #places = new Float64Array(1_024)
  #count = 0
  readonly #writer = new ByteWriter(4_096)

  private constructor(fd: number, path: string, outputs: number) {
    this.#fd = fd
    this.#path = path
    this.#outputs = outputs
  }

  /**
   * Opens or creates, and cuts a torn last frame.
   * @param outputs names of the output topics, in a fixed order
   * @throws WeirError JOURNAL_CORRUPT, STATE_FORMAT, REPLAY_MISMATCH (it was written for other outputs), OUTPUT_UNWRITABLE
   */
  static open(path: string, outputs: readonly string[]): JournalFile {
    let fd: number
    try {
      fd = openSync(path, 'a+')
    } catch (error) {
      throw unwritable(path, error)
    }
    const file = new JournalFile(fd, path, outputs.length)
    try {
      file.#recover(header(outputs))
      return file
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }

  get frameCount(): number {
    return this.#count
  }

  /** Bytes of the record in frame `index`, roughly: with the frame's own few. */
  frameBytes(index: number): number {
    return this.#places[index + 1]! - this.#places[index]!
  }

  /**
   * Appends one frame; when it returns, the frame is in the file and survives this process.
   * @throws WeirError OUTPUT_UNWRITABLE; the file may then hold part of the frame, until `truncate`
   */
  append(lengths: readonly number[], record: Uint8Array): void {
    const writer = this.#writer
    writer.reset()
    writer.u32(0)
    writer.u32(0)
    writer.u8(frameKind)
    writer.varint(this.#count)
    for (const length of lengths) writer.varint(length)
    writer.bytes(record)
    const frame = writer.view()
    const payload = frame.subarray(frameHeaderBytes)
    if (payload.length > frameBytesMax) {
      throw new WeirError(
        'OUTPUT_UNWRITABLE',
        `${this.#path}: a frame of ${payload.length} bytes is beyond ${frameBytesMax}`,
      )
    }
    frame.writeUInt32LE(payload.length, 0)
    frame.writeUInt32LE(crc32(payload), 4)
    writeFully(this.#fd, frame, this.#path)
    this.#add(this.#places[this.#count]! + frame.length)
  }

  /** @throws WeirError JOURNAL_CORRUPT when the bytes have changed since they were checked */
  read(index: number): Frame {
    const place = this.#places[index]!
    const bytes = this.#readAt(place, this.frameBytes(index))
    const frame = bytes && this.#parse(bytes, 0, index)
    if (frame === undefined) throw this.#corrupt(index, place)
    return frame
  }

  /** Keeps the first `count` frames, and cuts whatever else the file holds. */
  truncate(count: number): void {
    this.#count = count
    truncateFd(this.#fd, this.#places[count]!, this.#path)
  }

  sync(): void {
    fsyncSync(this.#fd)
  }

  close(): void {
    closeSync(this.#fd)
  }

  #recover(expectedHeader: Buffer): void {
    const size = fstatSync(this.#fd).size
    const start = this.#readHeader(expectedHeader, size)
    this.#places[0] = start
    let at = start
    while (at < size) {
      const length = this.#goodFrame(at, size)
      if (length === undefined) break
      at += length
      this.#add(at)
    }
    if (at === size) return
    if (this.#frameFollows(at, size)) throw this.#corrupt(this.#count, at)
    truncateFd(this.#fd, at, this.#path)
  }

  /** @returns where the first frame begins; writes the header into a new file */
  #readHeader(expected: Buffer, size: number): number {
    const found = this.#readAt(0, Math.min(size, expected.length))!
    if (found.length < expected.length && expected.subarray(0, found.length).equals(found)) {
      // new, or the first process died while it wrote this: nothing was committed
      truncateFd(this.#fd, 0, this.#path)
      writeFully(this.#fd, expected, this.#path)
      return expected.length
    }
    if (found.equals(expected)) return expected.length
    if (found.length < 20 || !found.subarray(0, 8).equals(magic)) {
      throw new WeirError('JOURNAL_CORRUPT', `${this.#path} does not begin as a journal`)
    }
    const version = found.readUInt32LE(8)
    if (version !== formatVersion) {
      throw new WeirError('STATE_FORMAT', `${this.#path} has format ${version}, this Weir writes ${formatVersion}`)
    }
    const names = size < 20 ? undefined : this.#readAt(20, Math.min(size - 20, found.readUInt32LE(12)))
    if (names === undefined || crc32(names) !== found.readUInt32LE(16)) {
      throw new WeirError('JOURNAL_CORRUPT', `${this.#path}: its header is damaged`)
    }
    throw new WeirError('REPLAY_MISMATCH', `${this.#path} was written for other outputs`)
  }

  /** The length of the whole frame at `at`, the next one in order; undefined when there is none that is sound. */
  #goodFrame(at: number, size: number): number | undefined {
    const length = this.#frameLength(at, size)
    const bytes = length === undefined ? undefined : this.#readAt(at, length)
    return bytes && this.#parse(bytes, 0, this.#count) && length
  }

  #frameLength(at: number, size: number): number | undefined {
    if (at + frameHeaderBytes > size) return undefined
    const payload = this.#readAt(at, 4)?.readUInt32LE(0) ?? 0
    return payload === 0 || payload > frameBytesMax || at + frameHeaderBytes + payload > size
      ? undefined
      : frameHeaderBytes + payload
  }

  /**
   * Whether a sound frame lies anywhere behind the one at `at` that is not: then that one is not the tail. A torn tail is
   * shorter than a frame; zeros that a power cut left are passed over quickly.
   */
  #frameFollows(at: number, size: number): boolean {
    const windowBytes = frameBytesMax + frameHeaderBytes
    for (let base = at + 1; base < size; base += windowBytes) {
      const bytes = this.#readAt(base, Math.min(2 * windowBytes, size - base))
      if (bytes === undefined) return false
      const last = Math.min(windowBytes, bytes.length - frameHeaderBytes)
      for (let i = 0; i < last; i++) {
        if (bytes[i + frameHeaderBytes] === frameKind && this.#parse(bytes, i, undefined) !== undefined) return true
      }
    }
    return false
  }

  /** The frame at `at` in `bytes`; undefined when it is not sound. @param index its number, where that is known */
  #parse(bytes: Buffer, at: number, index: number | undefined): Frame | undefined {
    if (at + frameHeaderBytes > bytes.length) return undefined
    const length = bytes.readUInt32LE(at)
    const from = at + frameHeaderBytes
    if (length === 0 || length > frameBytesMax || from + length > bytes.length) return undefined
    const payload = bytes.subarray(from, from + length)
    if (payload[0] !== frameKind || crc32(payload) !== bytes.readUInt32LE(at + 4)) return undefined
    try {
      const reader = new ByteReader(payload, 1)
      const number = reader.varint()
      if (index !== undefined && number !== index) return undefined
      const lengths: number[] = []
      for (let i = 0; i < this.#outputs; i++) lengths.push(reader.varint())
      return { lengths, record: Buffer.from(reader.bytes(reader.remaining)) }
    } catch (error) {
      if (error instanceof RangeError) return undefined
      throw error
    }
  }

  #readAt(at: number, length: number): Buffer | undefined {
    const bytes = Buffer.allocUnsafe(length)
    let done = 0
    while (done < length) {
      const read = readSync(this.#fd, bytes, done, length - done, at + done)
      if (read === 0) return undefined
      done += read
    }
    return bytes
  }

  #add(end: number): void {
    this.#count++
    if (this.#count === this.#places.length) {
      const grown = new Float64Array(this.#places.length * 2)
      grown.set(this.#places)
      this.#places = grown
    }
    this.#places[this.#count] = end
  }

  #corrupt(index: number, at: number): WeirError {
    return new WeirError(
      'JOURNAL_CORRUPT',
      `${this.#path}: frame ${index} at byte ${at} is damaged, and others follow it`,
    )
  }
}

/** The file's first bytes: magic, format version, and a frame-like block with the names of the outputs. */
function header(outputs: readonly string[]): Buffer {
  const names = new ByteWriter()
  names.varint(outputs.length)
  for (const name of outputs) names.string(name)
  const writer = new ByteWriter()
  writer.bytes(magic)
  writer.u32(formatVersion)
  writer.u32(names.length)
  writer.u32(crc32(names.view()))
  writer.bytes(names.view())
  return writer.take()
}

/** @throws WeirError OUTPUT_UNWRITABLE */
export function writeFully(fd: number, bytes: Uint8Array, path: string): void {
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done)
  } catch (error) {
    throw unwritable(path, error)
  }
}

/** @throws WeirError OUTPUT_UNWRITABLE */
export function truncateFd(fd: number, length: number, path: string): void {
  try {
    ftruncateSync(fd, length)
  } catch (error) {
    throw unwritable(path, error)
  }
}

export function unwritable(path: string, error: unknown): WeirError {
  return new WeirError('OUTPUT_UNWRITABLE', `${path}: ${messageOf(error)}`, { cause: error })
}
