/**
 * A decoder of Zstandard frames (RFC 8878) without dictionaries, for Node before 22.15. Checksums are not looked at: the
 * record batch around the frame has been checked.
 */
import {
  BackwardBits,
  decodeHuffman,
  type FseTable,
  fseTable,
  type HuffmanTable,
  readFseTable,
  readHuffmanTable,
  singleSymbol,
} from './entropy.js'
import { Output } from './output.js'

const frameMagic = 0xfd2fb528
const skippableMagic = 0x184d2a50
const blockBytesMax = 128 * 1024

/** @throws RangeError */
export function zstd(bytes: Buffer, bytesMax: number): Buffer {
  const output = new Output('zstd', 4 * bytes.length, bytesMax)
  for (let at = 0; at < bytes.length; ) {
    const magic = bytes.readUInt32LE(at)
    if (magic === frameMagic) at = frame(bytes, at + 4, output)
    else if ((magic & 0xfffffff0) === skippableMagic) at += 8 + bytes.readUInt32LE(at + 4)
    else throw new RangeError('zstd: no frame')
  }
  return output.finish()
}

/** What one block leaves to the next of its frame. */
interface FrameState {
  huffman: HuffmanTable | undefined
  readonly tables: (FseTable | undefined)[]
  readonly offsets: [number, number, number]
}

/** @returns where the frame ends */
function frame(bytes: Buffer, start: number, output: Output): number {
  const descriptor = bytes.readUInt8(start)
  const single = (descriptor & 0x20) !== 0
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >>> 6]!
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!
  let at = start + 1 + (single ? 0 : 1)
  if (dictionaryBytes > 0 && bytes.readUIntLE(at, dictionaryBytes) !== 0) {
    throw new RangeError('zstd: it needs a dictionary')
  }
  at += dictionaryBytes + sizeBytes
  const state: FrameState = { huffman: undefined, tables: [], offsets: [1, 4, 8] }
  for (let last = false; !last; ) {
    const header = bytes.readUIntLE(at, 3)
    at += 3
    last = (header & 1) !== 0
    const size = header >>> 3
    const kind = (header >>> 1) & 3
    if (kind !== 1 && at + size > bytes.length) throw new RangeError('zstd: a block is cut off')
    if (kind === 0) output.append(bytes, at, size)
    else if (kind === 1) output.fill(bytes.readUInt8(at), size)
    else if (kind === 2) block(bytes.subarray(at, at + size), state, output)
    else throw new RangeError('zstd: a block of unknown kind')
    at += kind === 1 ? 1 : size
  }
  return at + ((descriptor & 4) !== 0 ? 4 : 0)
}

function block(bytes: Buffer, state: FrameState, output: Output): void {
  const { literals, end } = readLiterals(bytes, state)
  const taken = sequences(bytes, end, literals, state, output)
  output.append(literals, taken, literals.length - taken)
}

function readLiterals(bytes: Buffer, state: FrameState): { literals: Buffer; end: number } {
  const head = bytes.readUInt8(0)
  const kind = head & 3
  const format = (head >>> 2) & 3
  if (kind < 2) {
    const headBytes = [1, 2, 1, 3][format]!
    const size = bytes.readUIntLE(0, headBytes) >>> (headBytes === 1 ? 3 : 4)
    if (size > blockBytesMax) throw new RangeError('zstd: too many literals')
    if (kind === 1) return { literals: Buffer.alloc(size, bytes.readUInt8(headBytes)), end: headBytes + 1 }
    const end = headBytes + size
    if (end > bytes.length) throw new RangeError('zstd: literals are cut off')
    return { literals: bytes.subarray(headBytes, end), end }
  }
  const headBytes = [3, 3, 4, 5][format]!
  const sizeBits = [10, 10, 14, 18][format]!
  const sizes = Math.floor(bytes.readUIntLE(0, headBytes) / 16)
  const size = sizes % 2 ** sizeBits
  const end = headBytes + Math.floor(sizes / 2 ** sizeBits)
  if (size > blockBytesMax || end > bytes.length) throw new RangeError('zstd: literals are cut off')
  let at = headBytes
  if (kind === 2) {
    const read = readHuffmanTable(bytes, at)
    state.huffman = read.table
    at = read.end
  }
  const table = state.huffman
  if (table === undefined) throw new RangeError('zstd: a Huffman table is missing')
  const literals = Buffer.allocUnsafe(size)
  if (format === 0) decodeHuffman(table, bytes, at, end, literals, 0, size)
  else {
    const quarter = (size + 3) >> 2
    const jump = at
    at += 6
    for (let i = 0; i < 4; i++) {
      const to = i === 3 ? end : at + bytes.readUInt16LE(jump + 2 * i)
      if (to > end) throw new RangeError('zstd: a Huffman stream is cut off')
      const count = i === 3 ? size - 3 * quarter : quarter
      if (count < 0) throw new RangeError('zstd: too few literals for four streams')
      decodeHuffman(table, bytes, at, to, literals, i * quarter, count)
      at = to
    }
  }
  return { literals, end }
}

/** Lengths of literals, offsets, lengths of matches: in the order in which their tables come. */
const kinds = [
  {
    logMax: 9,
    symbolsMax: 36,
    preset: fseTable(
      [4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1],
      6,
    ),
  },
  {
    logMax: 8,
    symbolsMax: 32,
    preset: fseTable([...ones(6), 2, 2, 2, ...ones(15), -1, -1, -1, -1, -1], 5),
  },
  {
    logMax: 9,
    symbolsMax: 53,
    preset: fseTable([1, 4, 3, 2, 2, 2, 2, 2, 2, ...ones(37), -1, -1, -1, -1, -1, -1, -1], 6),
  },
] as const

function ones(count: number): number[] {
  return new Array<number>(count).fill(1)
}

const literalBits = [
  ...new Array<number>(16).fill(0),
  1,
  1,
  1,
  1,
  2,
  2,
  3,
  3,
  4,
  6,
  7,
  8,
  9,
  10,
  11,
  12,
  13,
  14,
  15,
  16,
]
const matchBits = [
  ...new Array<number>(32).fill(0),
  ...[1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
]
/** The least length of each code: those before it, with all their bits. */
const basesOf = (bits: readonly number[], first: number): number[] => {
  let next = first
  return bits.map(count => {
    const base = next
    next += 2 ** count
    return base
  })
}
const literalBase = basesOf(literalBits, 0)
const matchBase = basesOf(matchBits, 3)

/** Carries out the block's sequences. @returns how many literals they took */
function sequences(bytes: Buffer, start: number, literals: Buffer, state: FrameState, output: Output): number {
  let at = start
  let count = bytes.readUInt8(at++)
  if (count === 0) return 0
  if (count === 255) {
    count = bytes.readUInt16LE(at) + 0x7f00
    at += 2
  } else if (count >= 128) count = ((count - 128) << 8) + bytes.readUInt8(at++)
  const modes = bytes.readUInt8(at++)
  for (const [i, kind] of kinds.entries()) {
    const mode = (modes >>> (6 - 2 * i)) & 3
    if (mode === 0) state.tables[i] = kind.preset
    else if (mode === 1) state.tables[i] = singleSymbol(checked(bytes.readUInt8(at++), kind.symbolsMax))
    else if (mode === 2) {
      const read = readFseTable(bytes, at, kind.logMax, kind.symbolsMax)
      state.tables[i] = read.table
      at = read.end
    }
  }
  const [literalTable, offsetTable, matchTable] = state.tables
  if (literalTable === undefined || offsetTable === undefined || matchTable === undefined) {
    throw new RangeError('zstd: a table is missing')
  }
  const stream = new BackwardBits(bytes, at, bytes.length)
  let literalState = stream.read(literalTable.log)
  let offsetState = stream.read(offsetTable.log)
  let matchState = stream.read(matchTable.log)
  let taken = 0
  for (let i = 0; i < count; i++) {
    const literalCode = literalTable.symbol[literalState]!
    const offsetCode = offsetTable.symbol[offsetState]!
    const matchCode = matchTable.symbol[matchState]!
    const offsetValue = 2 ** offsetCode + stream.read(offsetCode)
    const matchLength = matchBase[matchCode]! + stream.read(matchBits[matchCode]!)
    const literalLength = literalBase[literalCode]! + stream.read(literalBits[literalCode]!)
    if (i < count - 1) {
      literalState = literalTable.base[literalState]! + stream.read(literalTable.bits[literalState]!)
      matchState = matchTable.base[matchState]! + stream.read(matchTable.bits[matchState]!)
      offsetState = offsetTable.base[offsetState]! + stream.read(offsetTable.bits[offsetState]!)
    }
    if (stream.left < 0 || taken + literalLength > literals.length) throw new RangeError('zstd: a sequence is cut off')
    output.append(literals, taken, literalLength)
    taken += literalLength
    output.repeat(distanceOf(offsetValue, literalLength, state.offsets), matchLength)
  }
  if (stream.left !== 0) throw new RangeError('zstd: sequences leave bits over')
  return taken
}

function checked(symbol: number, symbolsMax: number): number {
  if (symbol >= symbolsMax) throw new RangeError('zstd: a code is out of range')
  return symbol
}

/** Offset values up to 3 name one of the last three distances, shifted by one after no literals. */
function distanceOf(value: number, literalLength: number, last: [number, number, number]): number {
  if (value > 3) {
    last[2] = last[1]
    last[1] = last[0]
    last[0] = value - 3
    return last[0]
  }
  const index = value - 1 + (literalLength === 0 ? 1 : 0)
  if (index === 0) return last[0]
  const distance = index === 3 ? last[0] - 1 : last[index]!
  if (index > 1) last[2] = last[1]
  last[1] = last[0]
  last[0] = distance
  return distance
}
