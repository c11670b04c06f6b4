/**
 * Physical lines of a byte source, as columns over one buffer.
 *
 * Invariants:
 * 1. Memory is bounded by the bytes asked for, one chunk and one line (I6): of a line beyond `lineBytesMax` the first
 *    lineBytesMax + 1 bytes are kept, so that a decoder sees that it is too large, and the rest is counted through.
 * 2. Lines end with \n or \r\n, which belong to no line; a last line needs no end. A UTF-8 byte order mark at the
 *    beginning of the file belongs to no line.
 * 3. Damage is thrown only when every whole line before it has been returned; a line that damage cuts off is none.
 */
import { isWeirError } from '../../kernel/index.js'
import type { ByteSource } from './byte-source.js'

const NEWLINE = 10
const CR = 13

export interface Lines {
  count: number
  /** Physical number of the first line, from 0. */
  first: number
  /** Line i is bytes[start[i], end[i]). */
  bytes: Buffer
  start: Int32Array
  end: Int32Array
}

export class LineReader {
  /** Physical number of the line that comes next, from 0. */
  line = 0
  readonly #source: ByteSource
  readonly #lineBytesMax: number
  #buffer: Buffer
  /** Bytes [lineStart, filled) are read and belong to no line that was returned; none before `scanned` is a newline. */
  #lineStart = 0
  #scanned = 0
  #filled = 0
  /** Inside the part of a line that is not kept. */
  #skipping = false
  #started = false
  #ended = false
  #damage: unknown
  readonly #lines: Lines = {
    count: 0,
    first: 0,
    bytes: Buffer.alloc(0),
    start: new Int32Array(1_024),
    end: new Int32Array(1_024),
  }

  constructor(source: ByteSource, lineBytesMax: number) {
    this.#source = source
    this.#lineBytesMax = lineBytesMax
    this.#buffer = Buffer.allocUnsafe(4 * (lineBytesMax + 2))
  }

  /** The end was seen and every line returned. */
  get finished(): boolean {
    return this.#ended && this.#lineStart === this.#filled
  }

  /**
   * The next lines: as many as fit both limits, at least one; fewer only before the end or damage; none at the end.
   * Valid until the next call.
   * @throws WeirError INPUT_UNREADABLE
   */
  async read(linesMax: number, bytesMax: number): Promise<Lines> {
    this.#compact()
    const lines = this.#lines
    lines.count = 0
    lines.first = this.line
    await this.#start()
    while (!this.#collect(lines, linesMax, bytesMax) && !this.#ended && this.#damage === undefined) await this.#fill()
    lines.bytes = this.#buffer
    this.line += lines.count
    if (lines.count === 0 && this.#damage !== undefined) throw this.#damage
    return lines
  }

  /**
   * Passes over lines.
   * @returns how many there were: fewer than `count` only at the end
   * @throws WeirError INPUT_UNREADABLE
   */
  async skip(count: number): Promise<number> {
    let skipped = 0
    while (skipped < count) {
      const { count: read } = await this.read(Math.min(count - skipped, 16_384), 1 << 20)
      if (read === 0) break
      skipped += read
    }
    return skipped
  }

  close(): Promise<void> {
    return this.#source.close()
  }

  /** Takes whole lines out of what is in the buffer. @returns true when a limit is reached */
  #collect(lines: Lines, linesMax: number, bytesMax: number): boolean {
    const buffer = this.#buffer
    const filled = this.#filled
    let at = this.#scanned
    while (lines.count < linesMax) {
      while (at < filled && buffer[at] !== NEWLINE) at++
      // the last line may have no end, but damage leaves only half of it
      if (at === filled && !(this.#ended && this.#lineStart < filled)) {
        this.#scanned = at
        return false
      }
      const first = lines.count === 0 ? this.#lineStart : lines.start[0]!
      if (at - first > bytesMax && lines.count > 0) {
        this.#scanned = this.#lineStart
        return true
      }
      this.#add(lines, at)
      this.#lineStart = at === filled ? at : at + 1
      at = this.#lineStart
    }
    this.#scanned = at
    return true
  }

  #add(lines: Lines, at: number): void {
    const from = this.#lineStart
    let to = at
    if (to > from && this.#buffer[to - 1] === CR) to--
    if (to - from > this.#lineBytesMax) to = from + this.#lineBytesMax + 1
    if (lines.count === lines.start.length) {
      lines.start = doubled(lines.start)
      lines.end = doubled(lines.end)
    }
    lines.start[lines.count] = from
    lines.end[lines.count] = to
    lines.count++
  }

  async #start(): Promise<void> {
    if (this.#started) return
    this.#started = true
    while (this.#filled < 3 && !this.#ended && this.#damage === undefined) await this.#fill()
    const mark = this.#filled >= 3 && this.#buffer[0] === 0xef && this.#buffer[1] === 0xbb && this.#buffer[2] === 0xbf
    if (mark) this.#lineStart = this.#scanned = 3
  }

  /** Reads one more chunk behind what is there. */
  async #fill(): Promise<void> {
    // one byte more than can be kept of a line, for the \r that may be its end
    const keep = this.#lineBytesMax + 2
    if (this.#scanned - this.#lineStart > keep) {
      this.#filled = this.#scanned = this.#lineStart + keep
      this.#skipping = true
    }
    let chunk: Buffer | null
    try {
      chunk = await this.#source.next()
    } catch (error) {
      if (!isWeirError(error)) throw error
      this.#damage = error
      return
    }
    if (chunk === null) {
      this.#ended = true
      return
    }
    let from = 0
    if (this.#skipping) {
      from = chunk.indexOf(NEWLINE)
      if (from < 0) return
      this.#skipping = false
    }
    const needed = this.#filled + chunk.length - from
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#buffer.length))
      this.#buffer.copy(grown, 0, 0, this.#filled)
      this.#buffer = grown
    }
    chunk.copy(this.#buffer, this.#filled, from)
    this.#filled = needed
  }

  /** Moves what is left to the front once most of the buffer is used; lines that were returned are then invalid. */
  #compact(): void {
    if (this.#lineStart !== this.#filled && this.#lineStart < this.#buffer.length / 2) return
    this.#buffer.copyWithin(0, this.#lineStart, this.#filled)
    this.#scanned -= this.#lineStart
    this.#filled -= this.#lineStart
    this.#lineStart = 0
  }
}

function doubled(column: Int32Array): Int32Array {
  const grown = new Int32Array(column.length * 2)
  grown.set(column)
  return grown
}
