/**
 * The LZ4 frame format. Its checksums are not looked at: the record batch around it has been checked. Format:
 * lz4/doc/lz4_Frame_format.md and lz4_Block_format.md.
 */
import { Output } from './output.js'

const frameMagic = 0x184d2204
const uncompressedFlag = 0x80000000

/** @throws RangeError */
export function lz4(bytes: Buffer, bytesMax: number): Buffer {
  if (bytes.readUInt32LE(0) !== frameMagic) throw new RangeError('lz4: no frame')
  const flags = bytes.readUInt8(4)
  const blockChecksum = (flags & 0x10) !== 0
  const contentSize = (flags & 0x08) !== 0
  if ((flags & 0x01) !== 0) throw new RangeError('lz4: it needs a dictionary')
  const output = new Output('lz4', 4 * bytes.length, bytesMax)
  for (let at = 7 + (contentSize ? 8 : 0); ; ) {
    const size = bytes.readUInt32LE(at)
    at += 4
    if (size === 0) return output.finish()
    const length = size & ~uncompressedFlag
    if (at + length > bytes.length) throw new RangeError('lz4: a block is cut off')
    if ((size & uncompressedFlag) !== 0) output.append(bytes, at, length)
    else block(bytes, at, at + length, output)
    at += length + (blockChecksum ? 4 : 0)
  }
}

function block(bytes: Buffer, start: number, end: number, output: Output): void {
  let at = start
  const extended = (length: number): number => {
    let total = length
    if (length !== 15) return total
    let byte: number
    do {
      byte = bytes.readUInt8(at++)
      total += byte
    } while (byte === 255)
    return total
  }
  while (at < end) {
    const token = bytes[at++]!
    const literals = extended(token >>> 4)
    if (at + literals > end) throw new RangeError('lz4: a literal is too long')
    output.append(bytes, at, literals)
    at += literals
    if (at >= end) return // the last sequence has no match
    const distance = bytes.readUInt16LE(at)
    at += 2
    output.repeat(distance, extended(token & 15) + 4)
  }
}
