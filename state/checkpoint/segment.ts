/**
 * A segment: puts and deletes of a run of buckets, in the order of bucket and key (FORMAT.md). Its name ends in the SHA-256 of
 * its bytes, so a segment that is torn, changed or another is known before anything of it is used.
 */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import { assert, ByteReader, ByteWriter, crc32, messageOf, sha256Hex, WeirError } from '../../kernel/index.js'

const magic = Buffer.from('WSEG\x01')
const blockHeaderBytes = 13
const stored = 0
const deflated = 1
const deleteTag = 0
const putTag = 1

const deflate = promisify(deflateRaw)
const inflate = promisify(inflateRaw)

export interface SegmentEntry {
  /** Without the namespace. */
  readonly key: Buffer
  /** Undefined: deleted. */
  readonly value: Buffer | undefined
}

/** Appends an operation, as blocks of segments and records of the spool hold it. */
export function encodeOperation(into: ByteWriter, key: Uint8Array, value: Uint8Array | undefined): void {
  into.u8(value === undefined ? deleteTag : putTag)
  into.blob(key)
  if (value !== undefined) into.blob(value)
}

/** Views, not copies. @throws RangeError for bytes that are no operations */
export function* decodeOperations(bytes: Buffer): Iterable<SegmentEntry> {
  const from = new ByteReader(bytes)
  while (from.remaining > 0) {
    const tag = from.u8()
    if (tag !== putTag && tag !== deleteTag) throw new RangeError(`operation ${tag}`)
    const key = from.blob()
    yield { key, value: tag === putTag ? from.blob() : undefined }
  }
}

/** Builds one segment, a block at a time; compression runs in the pool. */
export class SegmentWriter {
  readonly #block = new ByteWriter(1 << 16)
  readonly #blockBytesMax: number
  readonly #parts: Buffer[] = [magic]
  readonly #hash = createHash('sha256').update(magic)
  /** As they will lie in the store. */
  bytes = magic.length

  constructor(blockBytesMax: number) {
    this.#blockBytesMax = blockBytesMax
  }

  /** @returns true when a block is full: `flush` then */
  add(key: Uint8Array, value: Uint8Array | undefined): boolean {
    encodeOperation(this.#block, key, value)
    return this.#block.length >= this.#blockBytesMax
  }

  /** Ends the block. @returns its bytes before compression */
  async flush(): Promise<number> {
    const raw = this.#block.take()
    if (raw.length === 0) return 0
    const packed = await deflate(raw, { level: 1 })
    const [codec, body] = packed.length < raw.length ? [deflated, packed] : [stored, raw]
    const header = Buffer.alloc(blockHeaderBytes)
    header.writeUInt32LE(body.length, 0)
    header.writeUInt32LE(raw.length, 4)
    header.writeUInt8(codec, 8)
    header.writeUInt32LE(crc32(body), 9)
    for (const part of [header, body]) {
      this.#parts.push(part)
      this.#hash.update(part)
      this.bytes += part.length
    }
    return raw.length
  }

  /** After the last flush. */
  finish(): { readonly bytes: Buffer; readonly sha256: string } {
    assert(this.#block.length === 0, 'a segment ends with a block')
    return { bytes: Buffer.concat(this.#parts), sha256: this.#hash.digest('hex') }
  }
}

/**
 * The blocks of a segment, each a list of operations.
 * @throws WeirError CHECKPOINT_CORRUPT, before the first block when the bytes are not those of the hash
 */
export async function* readSegment(bytes: Buffer, sha256: string): AsyncIterable<SegmentEntry[]> {
  const corrupt = (what: string, cause?: unknown): WeirError =>
    new WeirError('CHECKPOINT_CORRUPT', `segment ${sha256}: ${what}`, { cause })
  if (sha256Hex(bytes) !== sha256) throw corrupt(`its ${bytes.length} bytes have another hash`)
  if (!bytes.subarray(0, magic.length).equals(magic)) throw corrupt('its first bytes are not those of a segment')
  for (let at = magic.length; at < bytes.length; ) {
    let entries: SegmentEntry[]
    try {
      const from = new ByteReader(bytes, at)
      const [length, rawLength, codec, crc] = [from.u32(), from.u32(), from.u8(), from.u32()]
      const body = from.bytes(length)
      if (crc32(body) !== crc) throw new RangeError('checksum')
      const raw = codec === deflated ? await inflate(body, { maxOutputLength: Math.max(1, rawLength) }) : body
      if (raw.length !== rawLength || codec > deflated) throw new RangeError('length or codec')
      entries = [...decodeOperations(raw)]
      at = from.position
    } catch (error) {
      throw corrupt(`its block at byte ${at} does not decode: ${messageOf(error)}`, error)
    }
    yield entries
  }
}
