/**
 * Fetched bytes to runs of records: columns over the buffer, so that a record costs no object.
 *
 * Invariants:
 * 1. Every batch is checked against its CRC-32C before a byte of it is believed; one that fails is an error (LOG_CORRUPT).
 * 2. What is left out, records of aborted transactions and control batches, is left out whole (I1).
 * 3. Adjacent uncompressed batches make one run: producers that send a record at a time cost no batch a record.
 * 4. A batch that is cut off at the end is not there.
 * 5. A batch that decompresses to more than the bound is not held, and its records are not passed over either (I6, I7): they
 *    are there, and `unread`.
 *
 * Measured on one shared core, records of 400 bytes: see docs/kafka.md.
 */
import { WeirError } from '../../../kernel/index.js'
import { decompress, TooLong } from '../compression/index.js'
import { int64At } from '../wire.js'
import type { AbortFilter } from './abort-filter.js'
import { attribute, batchHeaderBytes, field, lengthOverhead, magicSupported } from './format.js'

/** Of a batch of which nothing but its number of records is known. */
const unreadRecordsMax = 1 << 24

/** Records of one partition; the columns may be longer than `count`. Offsets are numbers. */
export interface Run {
  readonly bytes: Buffer
  readonly baseOffset: number
  count: number
  readonly offsetDelta: Int32Array
  readonly keyStart: Int32Array
  readonly keyEnd: Int32Array
  readonly valueStart: Int32Array
  readonly valueEnd: Int32Array
  /** Where the headers begin: their number, then each. */
  readonly headersStart: Int32Array
  /** Some record has headers. */
  hasHeaders: boolean
  readonly timestampMs: Float64Array
  /** Position after the run, past gaps that are known. */
  next: number
  /** Why keys, values and headers were not read: none of the records shows any. */
  readonly unread?: string
}

export interface Decoded {
  readonly runs: readonly Run[]
  /** Position after everything that was there. */
  readonly next: number
  /** Leader epoch of the last batch, -1 when there was none. */
  readonly lastEpoch: number
}

export interface DecodeOptions {
  /** For messages. */
  readonly where: string
  readonly filter: AbortFilter
  readonly checksum: (bytes: Buffer) => number
  readonly decompressedBytesMax: number
}

/** A batch that readers see. */
interface Batch {
  readonly start: number
  readonly end: number
  readonly baseOffset: number
  readonly attributes: number
  readonly count: number
}

/**
 * Decodes the records from offset `from` on.
 * @throws WeirError LOG_CORRUPT, KAFKA_UNSUPPORTED
 */
export function decodeRecords(bytes: Buffer, from: number, options: DecodeOptions): Decoded {
  const runs: Run[] = []
  let next = from
  let lastEpoch = -1
  let group: Batch[] = []
  const push = (run: Run): void => {
    if (run.count > 0) runs.push(run)
  }
  const endGroup = (): void => {
    if (group.length > 0) push(decodeRun(bytes, group, from, options.where))
    group = []
  }
  for (let start = 0; start + field.magic < bytes.length; ) {
    const end = start + lengthOverhead + bytes.readInt32BE(start + field.length)
    if (end > bytes.length) break
    checkBatch(bytes, start, end, options)
    const baseOffset = int64At(bytes, start + field.baseOffset)
    const after = baseOffset + bytes.readInt32BE(start + field.lastOffsetDelta) + 1
    lastEpoch = bytes.readInt32BE(start + field.leaderEpoch)
    if (after > from && options.filter.passes(bytes, start, after - 1)) {
      const attributes = bytes.readInt16BE(start + field.attributes)
      const count = bytes.readInt32BE(start + field.count)
      const batch = { start: start + batchHeaderBytes, end, baseOffset, attributes, count }
      if ((attributes & attribute.compression) !== 0) {
        endGroup()
        push(decodeCompressed(bytes, batch, from, options))
      } else {
        const first = group[0]
        if (first !== undefined && after - first.baseOffset > 0x7fffffff) endGroup()
        group.push(batch)
      }
    }
    next = Math.max(next, after)
    start = end
  }
  endGroup()
  for (const [i, run] of runs.entries()) run.next = runs[i + 1]?.baseOffset ?? next
  return { runs, next, lastEpoch }
}

function checkBatch(bytes: Buffer, start: number, end: number, { where, checksum }: DecodeOptions): void {
  const magic = bytes[start + field.magic]!
  if (magic !== magicSupported) {
    throw new WeirError(
      'KAFKA_UNSUPPORTED',
      `${where} has a message of format ${magic} at offset ${bytes.readBigInt64BE(start)}, only ${magicSupported} is read`,
    )
  }
  const stated = bytes.readUInt32BE(start + field.crc)
  if (end < start + batchHeaderBytes || checksum(bytes.subarray(start + field.attributes, end)) !== stated) {
    throw corrupt(where, bytes.readBigInt64BE(start), 'its checksum does not fit')
  }
}

function decodeCompressed(bytes: Buffer, batch: Batch, from: number, options: DecodeOptions): Run {
  const codec = batch.attributes & attribute.compression
  let plain: Buffer
  try {
    plain = decompress(codec, bytes.subarray(batch.start, batch.end), options.decompressedBytesMax)
  } catch (error) {
    if (error instanceof TooLong) return unreadRun(bytes, batch, from, options)
    if (!(error instanceof RangeError)) throw error
    throw corrupt(options.where, batch.baseOffset, error.message)
  }
  const header = bytes.subarray(batch.start - batchHeaderBytes, batch.start)
  return decodeRun(plain, [{ ...batch, start: 0, end: plain.length }], from, options.where, header)
}

/** The records of a batch without what they hold: a compacted one does not say which they are. */
function unreadRun(bytes: Buffer, batch: Batch, from: number, { where, decompressedBytesMax }: DecodeOptions): Run {
  const { baseOffset, count, attributes } = batch
  const headAt = batch.start - batchHeaderBytes
  const last = bytes.readInt32BE(headAt + field.lastOffsetDelta)
  if (count !== last + 1 || count > unreadRecordsMax) {
    throw corrupt(where, baseOffset, `its ${count} records are more than ${decompressedBytesMax} bytes`)
  }
  const base = Math.max(from, baseOffset)
  const left = baseOffset + count - base
  const none = new Int32Array(left).fill(-1)
  const stampedByLog = (attributes & attribute.logAppendTime) !== 0
  const stamp = Number(bytes.readBigInt64BE(headAt + (stampedByLog ? field.maxTimestamp : field.baseTimestamp)))
  return {
    bytes: Buffer.alloc(0),
    baseOffset: base,
    count: left,
    offsetDelta: Int32Array.from({ length: left }, (_, i) => i),
    keyStart: none,
    keyEnd: none,
    valueStart: none,
    valueEnd: none,
    headersStart: none,
    hasHeaders: false,
    timestampMs: new Float64Array(left).fill(stamp),
    next: base + left,
    unread: `it came in a batch that decompresses to more than ${decompressedBytesMax} bytes`,
  }
}

const corrupt = (where: string, at: number | bigint, what: string): WeirError =>
  new WeirError('LOG_CORRUPT', `${where}, batch at offset ${at}: ${what}`)

/** Read position of the functions below: decoding is synchronous, and a local would cost an object for each varint. */
let at = 0

/** @param header of the one batch when it lies elsewhere, because `bytes` is what was compressed */
function decodeRun(bytes: Buffer, batches: readonly Batch[], from: number, where: string, header?: Buffer): Run {
  let capacity = 0
  for (const { count, start, end, baseOffset } of batches) {
    // The smallest record takes seven bytes: a count that cannot be is not allocated.
    if (count < 0 || count > (end - start) / 7) throw corrupt(where, baseOffset, `it cannot hold ${count} records`)
    capacity += count
  }
  const base = Math.max(from, batches[0]!.baseOffset)
  const run: Run = {
    bytes,
    baseOffset: base,
    count: 0,
    offsetDelta: new Int32Array(capacity),
    keyStart: new Int32Array(capacity),
    keyEnd: new Int32Array(capacity),
    valueStart: new Int32Array(capacity),
    valueEnd: new Int32Array(capacity),
    headersStart: new Int32Array(capacity),
    hasHeaders: false,
    timestampMs: new Float64Array(capacity),
    next: base,
  }
  for (const batch of batches) decodeBatch(run, batch, from, where, header)
  return run
}

function decodeBatch(run: Run, batch: Batch, from: number, where: string, header: Buffer | undefined): void {
  const { bytes, offsetDelta, keyStart, keyEnd, valueStart, valueEnd, headersStart, timestampMs } = run
  const { end, baseOffset, attributes } = batch
  const head = header ?? bytes
  const headAt = header === undefined ? batch.start - batchHeaderBytes : 0
  const stampedByLog = (attributes & attribute.logAppendTime) !== 0
  const baseTimestamp = Number(head.readBigInt64BE(headAt + (stampedByLog ? field.maxTimestamp : field.baseTimestamp)))
  const shift = baseOffset - run.baseOffset
  let row = run.count
  at = batch.start
  for (let left = batch.count; left > 0; left--) {
    const length = varint(bytes)
    const recordEnd = at + length
    if (length < 0 || recordEnd > end) throw corrupt(where, baseOffset, 'a record reaches past its end')
    at++ // attributes, of which there are none
    const timestampDelta = varlong(bytes)
    const delta = shift + varint(bytes)
    offsetDelta[row] = delta
    timestampMs[row] = stampedByLog ? baseTimestamp : baseTimestamp + timestampDelta
    const keyLength = varint(bytes)
    keyStart[row] = keyLength < 0 ? -1 : at
    if (keyLength > 0) at += keyLength
    keyEnd[row] = keyLength < 0 ? -1 : at
    const valueLength = varint(bytes)
    valueStart[row] = valueLength < 0 ? -1 : at
    if (valueLength > 0) at += valueLength
    valueEnd[row] = valueLength < 0 ? -1 : at
    headersStart[row] = at
    if (at >= recordEnd) throw corrupt(where, baseOffset, 'a record reaches past its end')
    const hasHeaders = bytes[at] !== 0
    at = recordEnd
    // The first batch of a fetch may begin before what was asked for.
    if (run.baseOffset + delta < from) continue
    row++
    if (hasHeaders) run.hasHeaders = true
  }
  run.count = row
}

/** Reading past the end gives undefined, which ends the loop like a zero: the bounds are checked by the caller. */
function unsigned(bytes: Buffer): number {
  let byte = bytes[at++]!
  if (byte < 128) return byte
  let value = byte & 127
  let shift = 7
  do {
    byte = bytes[at++]!
    value |= (byte & 127) << shift
    shift += 7
  } while (byte >= 128 && shift < 35)
  return value >>> 0
}

function varint(bytes: Buffer): number {
  const value = unsigned(bytes)
  return (value >>> 1) ^ -(value & 1)
}

/** Exact to 2^53, which no timestamp in use reaches. */
function varlong(bytes: Buffer): number {
  const first = bytes[at]!
  if (first < 128) {
    at++
    return (first >>> 1) ^ -(first & 1)
  }
  let value = 0
  let scale = 1
  let byte: number
  do {
    byte = bytes[at++]!
    value += (byte & 127) * scale
    scale *= 128
  } while (byte >= 128 && scale < 2 ** 70)
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}

/** Headers of one record, names and values copied out; a number of them that cannot be ends with the bytes. */
export function headersAt(bytes: Buffer, start: number): { name: string; value: Buffer }[] {
  at = start
  const headers = []
  for (let left = varint(bytes); left > 0 && at < bytes.length; left--) {
    const nameLength = varint(bytes)
    const name = bytes.toString('utf8', at, at + nameLength)
    at += nameLength
    const valueLength = varint(bytes)
    const value = Buffer.from(bytes.subarray(at, at + Math.max(0, valueLength)))
    at += Math.max(0, valueLength)
    headers.push({ name, value })
  }
  return headers
}
