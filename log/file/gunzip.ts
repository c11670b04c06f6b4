/**
 * Gunzip (RFC 1952) of one or more members. The frame of a member is read here and only its deflate stream goes to zlib:
 * Node's own Gunzip drops rows that it has inflated already when the end is damaged, and takes some garbage after the
 * last member for an end.
 *
 * Invariant: a chunk of input inflates to at most 1,032 times its size, and one chunk at a time is inflated (I6).
 */
import { createInflateRaw, type InflateRaw } from 'node:zlib'
import { crc32, messageOf, WeirError } from '../../kernel/index.js'
import type { ByteSource } from './byte-source.js'

/** Compressed bytes handed to zlib at a time. */
const inflateBytesMax = 16_384
/** Header of a member with all its optional fields; names and comments longer than this are refused. */
const headerBytesMax = 65_536

type Step = 'start' | 'member' | 'trailer' | 'end'

export class GzipSource implements ByteSource {
  readonly #input: ByteSource
  readonly #path: string
  readonly #chunkBytes: number
  #step: Step = 'start'
  /** Compressed bytes that were read and not used; a copy of our own. */
  #rest: Buffer = Buffer.alloc(0)
  #inputEnded = false
  #members = 0
  #member: Inflater | undefined
  #ready: Buffer[] = []
  #damage: WeirError | undefined

  constructor(input: ByteSource, path: string, chunkBytes: number) {
    this.#input = input
    this.#path = path
    this.#chunkBytes = chunkBytes
  }

  get bytesRead(): number {
    return this.#input.bytesRead - this.#rest.length
  }

  async next(): Promise<Buffer | null> {
    for (;;) {
      const chunk = this.#ready.shift()
      if (chunk !== undefined) return chunk
      if (this.#damage !== undefined) throw this.#damage
      if (this.#step === 'end') return null
      try {
        await this.#advance()
      } catch (error) {
        this.#damage = error instanceof WeirError ? error : this.#damaged(messageOf(error))
      }
    }
  }

  async close(): Promise<void> {
    this.#member?.close()
    await this.#input.close()
  }

  async #advance(): Promise<void> {
    if (this.#step === 'start') return this.#startMember()
    if (this.#step === 'trailer') return this.#checkTrailer()
    const member = this.#member!
    if (this.#rest.length === 0 && !(await this.#more())) throw this.#truncated()
    const piece = this.#rest.subarray(0, inflateBytesMax)
    const used = await member.inflate(piece, this.#ready)
    this.#rest = this.#rest.subarray(used)
    if (member.failure !== undefined) throw this.#damaged(member.failure)
    if (member.ended) this.#step = 'trailer'
  }

  async #startMember(): Promise<void> {
    if (this.#rest.length === 0 && !(await this.#more())) {
      if (this.#members === 0) throw this.#truncated()
      this.#step = 'end'
      return
    }
    // gzip tools pad with zeros and pass over them
    if (this.#members > 0 && this.#rest[0] === 0) return this.#skipPadding()
    let length = headerLength(this.#rest)
    while (length === undefined) {
      if (this.#rest.length > headerBytesMax) throw this.#damaged('a gzip header without an end')
      if (!(await this.#more())) throw this.#members === 0 ? this.#truncated() : this.#garbage()
      length = headerLength(this.#rest)
    }
    if (length < 0) throw this.#members === 0 ? this.#damaged('it is no gzip file') : this.#garbage()
    this.#rest = this.#rest.subarray(length)
    this.#members++
    this.#member = new Inflater(this.#chunkBytes)
    this.#step = 'member'
  }

  async #skipPadding(): Promise<void> {
    do {
      for (const byte of this.#rest) if (byte !== 0) throw this.#garbage()
      this.#rest = Buffer.alloc(0)
    } while (await this.#more())
    this.#step = 'end'
  }

  async #checkTrailer(): Promise<void> {
    while (this.#rest.length < 8) if (!(await this.#more())) throw this.#truncated()
    const member = this.#member!
    if (this.#rest.readUInt32LE(0) !== member.crc) throw this.#damaged('its checksum does not fit its contents')
    if (this.#rest.readUInt32LE(4) !== member.bytesOut % 2 ** 32)
      throw this.#damaged('its length does not fit its contents')
    member.close()
    this.#rest = this.#rest.subarray(8)
    this.#step = 'start'
  }

  /** Appends more input to `rest`; false at its end. */
  async #more(): Promise<boolean> {
    if (this.#inputEnded) return false
    const chunk = await this.#input.next()
    if (chunk === null) {
      this.#inputEnded = true
      return false
    }
    this.#rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk])
    return true
  }

  #truncated(): WeirError {
    return this.#damaged('it is a truncated gzip file')
  }

  #garbage(): WeirError {
    return this.#damaged('something that is not gzip follows the compressed data')
  }

  #damaged(what: string): WeirError {
    return new WeirError('INPUT_UNREADABLE', `${this.#path} is damaged: ${what}`)
  }
}

/** One deflate stream, fed piece by piece. */
class Inflater {
  crc = 0
  bytesOut = 0
  ended = false
  failure: string | undefined
  readonly #zlib: InflateRaw
  #out: Buffer[] = []
  #wake: (() => void) | undefined

  constructor(chunkBytes: number) {
    this.#zlib = createInflateRaw({ chunkSize: Math.max(64, chunkBytes) })
    this.#zlib.on('data', (chunk: Buffer) => {
      this.crc = crc32(chunk, this.crc)
      this.bytesOut += chunk.length
      this.#out.push(chunk)
    })
    this.#zlib.on('end', () => {
      this.ended = true
      this.#wake?.()
    })
    this.#zlib.on('error', error => {
      this.failure = messageOf(error)
      this.#wake?.()
    })
  }

  /** Pushes what `piece` inflates to. @returns how many bytes of it belong to this stream */
  async inflate(piece: Buffer, out: Buffer[]): Promise<number> {
    const before = this.#zlib.bytesWritten
    this.#out = out
    await new Promise<void>(resolve => {
      this.#wake = resolve
      this.#zlib.write(piece, () => {
        // a stream that has ended reports it on the next turn; until then its last bytes may be under way
        if (this.#zlib.bytesWritten - before === piece.length) resolve()
      })
    })
    return this.#zlib.bytesWritten - before
  }

  close(): void {
    this.#zlib.destroy()
  }
}

/** Length of the member header at the start of `bytes`; undefined: more bytes are needed; -1: it is none. */
function headerLength(bytes: Buffer): number | undefined {
  if (bytes[0] !== 0x1f || (bytes.length > 1 && bytes[1] !== 0x8b) || (bytes.length > 2 && bytes[2] !== 8)) return -1
  if (bytes.length < 10) return undefined
  const flags = bytes[3]!
  if ((flags & 0xe0) !== 0) return -1
  let at = 10
  if ((flags & 4) !== 0) {
    if (bytes.length < at + 2) return undefined
    at += 2 + bytes.readUInt16LE(at)
  }
  // file name, comment: each ends with a zero
  for (const flag of [8, 16]) {
    if ((flags & flag) === 0) continue
    const zero = bytes.indexOf(0, at)
    if (zero < 0) return undefined
    at = zero + 1
  }
  if ((flags & 2) !== 0) at += 2
  return bytes.length < at ? undefined : at
}
