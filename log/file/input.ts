/**
 * The input file as partition 0 of a topic: every physical line after the header is a record, its offset the zero-based
 * number of the line after the header. Blank lines are lines; whoever decodes them counts them.
 *
 * Invariant: reading forward continues; going back opens the file again, because gzip cannot seek.
 */
import { isUtf8 } from 'node:buffer'
import { WeirError } from '../../kernel/index.js'
import { type LogReader, type Offset, offset, type PollLimits, type Position, type RecordBatch } from '../port.js'
import { openInput } from './byte-source.js'
import { LineReader } from './line-reader.js'

export interface InputOptions {
  readonly path: string
  readonly topic: string
  /** The first physical line is no record. */
  readonly hasHeader: boolean
  /** Bytes read, or inflated, at a time. Default 256 KiB. */
  readonly chunkBytes?: number
  /** Of a longer line the first lineBytesMax + 1 bytes are handed out. Default 65,536. */
  readonly lineBytesMax?: number
}

export interface InputProgress {
  /** Bytes of the file as it lies on disk (compressed where it is), by the reader that was opened last. */
  readonly bytesRead: number
  readonly bytesTotal: number
}

const chunkBytesDefault = 262_144
const lineBytesMaxDefault = 65_536

interface OpenLines {
  readonly lines: LineReader
  readonly bytesRead: () => number
  readonly bytesTotal: number
}

async function openLines(options: InputOptions): Promise<OpenLines> {
  const { source, bytesTotal } = await openInput(options.path, options.chunkBytes ?? chunkBytesDefault)
  const lines = new LineReader(source, options.lineBytesMax ?? lineBytesMaxDefault)
  return { lines, bytesRead: () => source.bytesRead, bytesTotal }
}

/**
 * The header line; '' where the file has none.
 * @throws WeirError INPUT_UNREADABLE when the file cannot be read, or has no header that could be one
 */
export async function readHeader(options: InputOptions): Promise<{ header: string; bytesTotal: number }> {
  const { lines, bytesTotal } = await openLines(options)
  try {
    if (!options.hasHeader) return { header: '', bytesTotal }
    const read = await lines.read(1, Number.MAX_SAFE_INTEGER)
    if (read.count === 0) throw new WeirError('INPUT_UNREADABLE', `${options.path} is empty: it has no header line`)
    const bytes = read.bytes.subarray(read.start[0], read.end[0])
    if (bytes.length > (options.lineBytesMax ?? lineBytesMaxDefault)) {
      throw new WeirError('INPUT_UNREADABLE', `${options.path}: the header line is too long`)
    }
    if (!isUtf8(bytes)) throw new WeirError('INPUT_UNREADABLE', `${options.path}: the header line is not valid UTF-8`)
    return { header: bytes.toString('utf8'), bytesTotal }
  } finally {
    await lines.close()
  }
}

export class InputReader implements LogReader {
  readonly #options: InputOptions
  readonly #headerLines: number
  #open: OpenLines | undefined
  /** The next record to hand out. */
  #at: number
  #delta = new Int32Array(0)
  #noKeys = new Int32Array(0)

  constructor(options: InputOptions, at: Offset) {
    this.#options = options
    this.#headerLines = options.hasHeader ? 1 : 0
    this.#at = Number(at)
  }

  get bytesRead(): number {
    return this.#open?.bytesRead() ?? 0
  }

  get finished(): boolean {
    const lines = this.#open?.lines
    return lines?.finished === true && lines.line === this.#at + this.#headerLines
  }

  positions(): readonly Position[] {
    return [{ topic: this.#options.topic, partition: 0, offset: offset(this.#at) }]
  }

  seek(position: Position): void {
    if (position.offset < 0n) throw outOfRange(this.#options, position.offset)
    this.#at = Number(position.offset)
  }

  async poll(limits: PollLimits): Promise<readonly RecordBatch[]> {
    const lines = await this.#stand()
    const { count, bytes, start, end } = await lines.read(limits.recordsMax, limits.bytesMax)
    if (count === 0) return []
    this.#growColumns(count)
    const baseOffset = offset(this.#at)
    this.#at += count
    return [
      {
        topic: this.#options.topic,
        partition: 0,
        count,
        baseOffset,
        offsetDelta: this.#delta,
        bytes,
        keyStart: this.#noKeys,
        keyEnd: this.#noKeys,
        valueStart: start,
        valueEnd: end,
        nextOffset: offset(this.#at),
      },
    ]
  }

  async close(): Promise<void> {
    const open = this.#open
    this.#open = undefined
    await open?.lines.close()
  }

  /** A line reader that stands at the next record. @throws WeirError OFFSET_OUT_OF_RANGE */
  async #stand(): Promise<LineReader> {
    const line = this.#at + this.#headerLines
    if (this.#open !== undefined && this.#open.lines.line > line) await this.close()
    this.#open ??= await openLines(this.#options)
    const { lines } = this.#open
    const ahead = line - lines.line
    if (ahead > 0 && (await lines.skip(ahead)) < ahead) {
      // a file without its header line has no records, and its position 0 is its end
      if (this.#at > 0 || lines.line > line) throw outOfRange(this.#options, offset(this.#at))
    }
    return lines
  }

  /** Deltas 0, 1, 2, … and absent keys, for every batch alike. */
  #growColumns(count: number): void {
    if (count <= this.#delta.length) return
    const length = Math.max(count, 1_024)
    this.#delta = Int32Array.from({ length }, (_, i) => i)
    this.#noKeys = new Int32Array(length).fill(-1)
  }
}

function outOfRange(options: InputOptions, at: Offset): WeirError {
  return new WeirError('OFFSET_OUT_OF_RANGE', `${options.path} has no record ${at}`)
}
