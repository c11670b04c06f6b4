/** Snappy, raw or in the framing of the Java library that Kafka's clients use. Format: google/snappy format_description.txt. */
import { Output } from './output.js'
import { TooLong } from './too-long.js'

const javaMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const javaHeaderBytes = 16

/** @throws RangeError */
export function snappy(bytes: Buffer, bytesMax: number): Buffer {
  if (!bytes.subarray(0, javaMagic.length).equals(javaMagic)) return block(bytes, bytesMax)
  const blocks: Buffer[] = []
  let left = bytesMax
  for (let at = javaHeaderBytes; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at)
    at += 4
    if (at + length > bytes.length) throw new RangeError('snappy: a block is cut off')
    const plain = block(bytes.subarray(at, at + length), left)
    blocks.push(plain)
    left -= plain.length
    at += length
  }
  return Buffer.concat(blocks)
}

function block(bytes: Buffer, bytesMax: number): Buffer {
  let at = 0
  let length = 0
  for (let shift = 0; ; shift += 7) {
    const byte = bytes.readUInt8(at++)
    length += (byte & 127) * 2 ** shift
    if (byte < 128) break
    if (shift > 28) throw new RangeError('snappy: the length is not one')
  }
  if (length > bytesMax) throw new TooLong(`snappy: ${length} bytes, more than ${bytesMax}`)
  const output = new Output('snappy', length, Math.max(length, 1))
  while (at < bytes.length) {
    const tag = bytes[at++]!
    if ((tag & 3) === 0) {
      let run = tag >>> 2
      if (run >= 60) {
        const width = run - 59
        run = bytes.readUIntLE(at, width)
        at += width
      }
      run++
      if (at + run > bytes.length) throw new RangeError('snappy: a literal is too long')
      output.append(bytes, at, run)
      at += run
    } else if ((tag & 3) === 1) {
      output.repeat(((tag >>> 5) << 8) | bytes.readUInt8(at++), ((tag >>> 2) & 7) + 4)
    } else {
      const width = (tag & 3) === 2 ? 2 : 4
      output.repeat(bytes.readUIntLE(at, width), (tag >>> 2) + 1)
      at += width
    }
  }
  if (output.length !== length) throw new RangeError('snappy: it ends too early')
  return output.finish()
}
