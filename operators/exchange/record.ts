/**
 * Rows as bytes, on their way from slot to slot and while they wait for their turn. Format: exchange/FORMAT.md.
 *
 * Invariant: what is decoded equals what was encoded (NaN, -0 and absent features included), so that a plan over several
 * slots gives what it gives in one.
 */
import { type ByteReader, type ByteWriter, type EventTimeMs, eventTime, WeirError } from '../../kernel/index.js'
import type { StateCodec } from '../../state/index.js'
import { type HopTag, type Row, RowFlag, type SourcePosition } from '../contract.js'

const version = 1
const parts: readonly HopTag['part'][] = ['last', 'more', 'skip']

/** Of the streams that one hop carries. */
export interface RowFormat {
  /** Topics that rows may come from; a row names its one by the index here. */
  readonly topics: readonly string[]
  /** Of the values, by port. */
  readonly codecs: readonly StateCodec<unknown>[]
}

/** Who has sent it, and how far that slot's event time was then. */
export interface HopHeader {
  readonly upstream: number
  /** -Infinity before there is one. */
  readonly watermark: EventTimeMs
}

export function encodeHeader({ upstream, watermark }: HopHeader, into: ByteWriter): void {
  into.u8(version)
  into.varint(upstream)
  into.f64(watermark)
}

/** @throws WeirError HOP_CORRUPT */
export function decodeHeader(from: ByteReader): HopHeader {
  const written = from.u8()
  if (written !== version) throw new WeirError('HOP_CORRUPT', `a hop record of version ${written}`)
  return { upstream: from.varint(), watermark: eventTime(from.f64()) }
}

/** Without its ordinal and score: the one is given where it is read, the other not before the last hop. */
export function encodeRow(row: Row, tag: Omit<HopTag, 'read'>, format: RowFormat, into: ByteWriter): void {
  into.u8(parts.indexOf(tag.part))
  into.varint(tag.port)
  into.varint(tag.home)
  into.varint(tag.sequence + 1)
  encodeSource(row.source, format.topics, into)
  if (tag.part === 'skip') return
  into.f64(row.at)
  into.f64(row.loggedAtMs)
  into.varint(row.flags & ~RowFlag.astray)
  encodeFeatures(row.features, into)
  codecOf(format, tag.port).encode(row.value, into)
}

/** @param read where the bytes lie @param columns features of a row that has none yet */
export function decodeRow(from: ByteReader, read: SourcePosition, format: RowFormat, columns: number): Row {
  const part = parts[from.u8()]
  if (part === undefined) throw new RangeError('no part of a record')
  const port = from.varint()
  const home = from.varint()
  const sequence = from.varint() - 1
  const source = decodeSource(from, format.topics)
  const hop: HopTag = { read, home, sequence, port, part }
  const whole = part !== 'skip'
  const at = eventTime(whole ? from.f64() : 0)
  const loggedAtMs = whole ? from.f64() : Number.NaN
  const flags = whole ? from.varint() : 0
  const features = whole ? decodeFeatures(from) : new Array<number>(columns).fill(Number.NaN)
  const value = whole ? codecOf(format, port).decode(from) : undefined
  return { value, at, key: '', ordinal: 0, flags, features, score: Number.NaN, source, loggedAtMs, hop }
}

function codecOf({ codecs }: RowFormat, port: number): StateCodec<unknown> {
  const codec = codecs[port]
  if (codec === undefined) throw new RangeError(`no stream for port ${port}`)
  return codec
}

/** A row that a timer made has no source record. */
function encodeSource(source: SourcePosition, topics: readonly string[], into: ByteWriter): void {
  into.varint(topics.indexOf(source.topic) + 1)
  if (source.offset < 0) return
  into.varint(source.partition)
  into.varint(source.offset)
}

const noSource: SourcePosition = { topic: '', partition: -1, offset: -1 }

function decodeSource(from: ByteReader, topics: readonly string[]): SourcePosition {
  const index = from.varint()
  if (index === 0) return noSource
  const topic = topics[index - 1]
  if (topic === undefined) throw new RangeError(`no topic ${index}`)
  return { topic, partition: from.varint(), offset: from.varint() }
}

/** A bit for each feature that is not NaN, then those. */
function encodeFeatures(features: readonly number[], into: ByteWriter): void {
  into.varint(features.length)
  for (let i = 0; i < features.length; i += 8) {
    let bits = 0
    for (let bit = 0; bit < 8 && i + bit < features.length; bit++)
      if (!Number.isNaN(features[i + bit])) bits |= 1 << bit
    into.u8(bits)
  }
  for (const feature of features) if (!Number.isNaN(feature)) into.f64(feature)
}

function decodeFeatures(from: ByteReader): number[] {
  const count = from.varint()
  const present = from.bytes((count + 7) >>> 3)
  const features: number[] = []
  for (let i = 0; i < count; i++) features.push(((present[i >>> 3]! >>> (i & 7)) & 1) === 1 ? from.f64() : Number.NaN)
  return features
}
