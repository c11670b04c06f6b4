/** One file of the delta spool: its bytes (FORMAT.md). */
import { type FileHandle, open } from 'node:fs/promises'
import { crc32 } from '../../kernel/index.js'

const magic = Buffer.from('WSPL\x01')
export const chainBytes = 32
/** Magic, whether there is a chain, the chain, checksum. */
export const headerBytes = magic.length + 1 + chainBytes + 4
/** Length, checksum of the operations, whether the write-back ends here, its chain, checksum of all this. */
const frameHeaderBytes = 4 + 4 + 1 + chainBytes + 4

/** A record of the spool: operations of a write-back, or the last of them. */
export interface Frame {
  readonly from: number
  readonly to: number
  readonly crc: number
  /** Of the write-back that ends with this record. */
  readonly chain: string | undefined
}

/** @param chain 64 hexadecimal digits; undefined for none */
function encodeChain(into: Buffer, at: number, chain: string | undefined): void {
  into.writeUInt8(chain === undefined ? 0 : 1, at)
  if (chain !== undefined) into.write(chain, at + 1, 'hex')
}

const decodeChain = (bytes: Buffer, at: number): string | undefined =>
  bytes[at] === 1 ? bytes.toString('hex', at + 1, at + 1 + chainBytes) : undefined

function sealed(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
  return bytes
}

const isSealed = (bytes: Buffer): boolean => crc32(bytes.subarray(0, -4)) === bytes.readUInt32LE(bytes.length - 4)

export function encodeHeader(since: string): Buffer {
  const bytes = Buffer.alloc(headerBytes)
  magic.copy(bytes)
  encodeChain(bytes, magic.length, since === '' ? undefined : since)
  return sealed(bytes)
}

export function encodeFrame(operations: Buffer, chain: string | undefined): readonly Buffer[] {
  const header = Buffer.alloc(frameHeaderBytes)
  header.writeUInt32LE(operations.length, 0)
  header.writeUInt32LE(crc32(operations), 4)
  encodeChain(header, 8, chain)
  return [sealed(header), operations]
}

/**
 * The records of a file, up to the first that is not whole; reads their headers alone.
 * @throws Error for what is no spool
 */
export async function readFrames(path: string): Promise<{ since: string; frames: readonly Frame[] }> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    const head = await readAt(handle, 0, headerBytes)
    if (head === undefined || !isSealed(head) || !head.subarray(0, magic.length).equals(magic)) {
      throw new Error(`${path} is torn, or no delta spool`)
    }
    const frames: Frame[] = []
    for (let at = headerBytes; ; ) {
      const header = await readAt(handle, at, frameHeaderBytes)
      if (header === undefined || !isSealed(header)) break
      const to = at + frameHeaderBytes + header.readUInt32LE(0)
      if (to > size) break
      frames.push({ from: at, to, crc: header.readUInt32LE(4), chain: decodeChain(header, 8) })
      at = to
    }
    return { since: decodeChain(head, magic.length) ?? '', frames }
  } finally {
    await handle.close()
  }
}

/** @throws Error when they are not those that were written */
export async function readPayload(handle: FileHandle, frame: Frame): Promise<Buffer> {
  const from = frame.from + frameHeaderBytes
  const bytes = await readAt(handle, from, frame.to - from)
  if (bytes === undefined || crc32(bytes) !== frame.crc) throw new Error(`the delta spool is damaged at byte ${from}`)
  return bytes
}

/** Undefined when the file ends before. */
async function readAt(handle: FileHandle, at: number, length: number): Promise<Buffer | undefined> {
  const bytes = Buffer.allocUnsafe(length)
  for (let filled = 0; filled < length; ) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, at + filled)
    if (bytesRead === 0) return undefined
    filled += bytesRead
  }
  return bytes
}

export async function writeAt(handle: FileHandle, parts: readonly Buffer[], at: number): Promise<void> {
  const total = parts.reduce((sum, part) => sum + part.length, 0)
  let { bytesWritten: written } = await handle.writev([...parts], at)
  if (written === total) return
  // The disk is filling up: the next write says so.
  const whole = Buffer.concat(parts)
  while (written < total) {
    const { bytesWritten } = await handle.write(whole, written, total - written, at + written)
    written += bytesWritten
  }
}
