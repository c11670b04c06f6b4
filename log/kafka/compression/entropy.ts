/** The entropy coders of zstd (RFC 8878, section 4): bit streams, FSE tables and Huffman tables. */

const fail = (what: string): never => {
  throw new RangeError(`zstd: ${what}`)
}

/** Position of the highest bit that is set; -1 for 0. */
const highBit = (value: number): number => 31 - Math.clz32(value)

/** Bits of bytes [start, end), read from the end towards the start; before the start lie zeros. */
export class BackwardBits {
  readonly #bytes: Buffer
  readonly #start: number
  #left: number

  constructor(bytes: Buffer, start: number, end: number) {
    if (start >= end || end > bytes.length) fail('a bit stream is missing')
    const last = bytes[end - 1]!
    if (last === 0) fail('a bit stream has no end')
    this.#bytes = bytes
    this.#start = start
    this.#left = 8 * (end - start - 1) + highBit(last)
  }

  /** How many bits are left; negative once more were read than there are. */
  get left(): number {
    return this.#left
  }

  /** @param count up to 31 */
  read(count: number): number {
    if (count > 16) return this.read(count - 16) * 65_536 + this.read(16)
    this.#left -= count
    const at = this.#left
    if (at >= 0) return this.#bitsAt(at, count)
    const there = count + at
    return there > 0 ? this.#bitsAt(0, there) << -at : 0
  }

  #bitsAt(at: number, count: number): number {
    const bytes = this.#bytes
    const byte = this.#start + (at >>> 3)
    const window = bytes[byte]! | (bytes[byte + 1]! << 8) | (bytes[byte + 2]! << 16)
    return (window >>> (at & 7)) & ((1 << count) - 1)
  }
}

/** Finite state entropy: state i stands for symbol[i]; the next state is base[i] plus bits[i] bits. */
export interface FseTable {
  readonly log: number
  readonly symbol: Uint8Array
  readonly bits: Uint8Array
  readonly base: Uint16Array
}

/** @param frequencies of the symbols, of 2^log in all; -1 is less than one */
export function fseTable(frequencies: readonly number[], log: number): FseTable {
  const size = 1 << log
  const symbol = new Uint8Array(size)
  const bits = new Uint8Array(size)
  const base = new Uint16Array(size)
  const next = new Uint16Array(frequencies.length)
  let high = size
  for (const [s, frequency] of frequencies.entries()) {
    if (frequency !== -1) continue
    symbol[--high] = s
    next[s] = 1
  }
  const step = (size >> 1) + (size >> 3) + 3
  let at = 0
  for (const [s, frequency] of frequencies.entries()) {
    if (frequency <= 0) continue
    next[s] = frequency
    for (let i = 0; i < frequency; i++) {
      symbol[at] = s
      do at = (at + step) & (size - 1)
      while (at >= high)
    }
  }
  if (at !== 0) fail('a table does not add up')
  for (let i = 0; i < size; i++) {
    const state = next[symbol[i]!]!++
    bits[i] = log - highBit(state)
    base[i] = (state << bits[i]!) - size
  }
  return { log, symbol, bits, base }
}

export const singleSymbol = (symbol: number): FseTable => ({
  log: 0,
  symbol: Uint8Array.of(symbol),
  bits: new Uint8Array(1),
  base: new Uint16Array(1),
})

/** Reads a table's description. @returns the table and where its description ends */
export function readFseTable(
  bytes: Buffer,
  start: number,
  logMax: number,
  symbolsMax: number,
): { table: FseTable; end: number } {
  let at = 8 * start
  const read = (count: number): number => {
    let value = 0
    for (let i = 0; i < count; i++, at++) value |= ((bytes.readUInt8(at >>> 3) >>> (at & 7)) & 1) << i
    return value
  }
  const log = read(4) + 5
  if (log > logMax) fail('a table is too large')
  const frequencies: number[] = []
  let left = 1 << log
  while (left > 0) {
    const count = highBit(left + 1) + 1
    let value = read(count)
    const lowMask = (1 << (count - 1)) - 1
    const threshold = (1 << count) - 1 - (left + 1)
    if ((value & lowMask) < threshold) {
      at-- // one bit less was enough
      value &= lowMask
    } else if (value > lowMask) value -= threshold
    const frequency = value - 1
    left -= Math.abs(frequency)
    frequencies.push(frequency)
    if (frequency === 0) {
      for (let repeat = read(2); ; repeat = read(2)) {
        for (let i = 0; i < repeat; i++) frequencies.push(0)
        if (repeat !== 3) break
      }
    }
    if (frequencies.length > symbolsMax) fail('a table has too many symbols')
  }
  if (left < 0) fail('a table does not add up')
  return { table: fseTable(frequencies, log), end: (at + 7) >>> 3 }
}

/** Huffman codes: what the next `bitsMax` bits stand for, and how many of them it takes. */
export interface HuffmanTable {
  readonly bitsMax: number
  readonly symbol: Uint8Array
  readonly bits: Uint8Array
}

const huffmanBitsMax = 11

/** @returns the table and where its description ends */
export function readHuffmanTable(bytes: Buffer, start: number): { table: HuffmanTable; end: number } {
  const head = bytes.readUInt8(start)
  const body = start + 1
  if (head < 128) return { table: huffmanTable(fseWeights(bytes, body, body + head)), end: body + head }
  const weights: number[] = []
  for (let i = 0; i < head - 127; i++) {
    const pair = bytes.readUInt8(body + (i >> 1))
    weights.push(i % 2 === 0 ? pair >>> 4 : pair & 15)
  }
  return { table: huffmanTable(weights), end: body + ((weights.length + 1) >> 1) }
}

/** Two states take turns, until the bits are used up. */
function fseWeights(bytes: Buffer, start: number, end: number): number[] {
  const { table, end: tableEnd } = readFseTable(bytes, start, 6, 256)
  const stream = new BackwardBits(bytes, tableEnd, end)
  const states = [stream.read(table.log), stream.read(table.log)]
  const weights: number[] = []
  for (let turn = 0; weights.length < 256; turn = 1 - turn) {
    const state = states[turn]!
    weights.push(table.symbol[state]!)
    states[turn] = table.base[state]! + stream.read(table.bits[state]!)
    if (stream.left < 0) {
      weights.push(table.symbol[states[1 - turn]!]!)
      return weights
    }
  }
  return fail('too many weights')
}

/** The last symbol's weight is what is missing to a power of two. */
function huffmanTable(weights: readonly number[]): HuffmanTable {
  let sum = 0
  for (const weight of weights) if (weight > 0) sum += 1 << (weight - 1)
  if (sum === 0) fail('a Huffman table is empty')
  const bitsMax = highBit(sum) + 1
  const missing = (1 << bitsMax) - sum
  if (bitsMax > huffmanBitsMax || (missing & (missing - 1)) !== 0) fail('a Huffman table does not add up')
  const all = [...weights, highBit(missing) + 1]
  const symbol = new Uint8Array(1 << bitsMax)
  const bits = new Uint8Array(1 << bitsMax)
  let at = 0
  for (let weight = 1; weight <= bitsMax; weight++) {
    for (const [s, own] of all.entries()) {
      if (own !== weight) continue
      const end = at + (1 << (weight - 1))
      symbol.fill(s, at, end)
      bits.fill(bitsMax + 1 - weight, at, end)
      at = end
    }
  }
  return { bitsMax, symbol, bits }
}

/** Decodes `count` symbols of the stream in bytes [start, end) to `into`. */
export function decodeHuffman(
  { bitsMax, symbol, bits }: HuffmanTable,
  bytes: Buffer,
  start: number,
  end: number,
  into: Buffer,
  at: number,
  count: number,
): void {
  const stream = new BackwardBits(bytes, start, end)
  const mask = (1 << bitsMax) - 1
  let state = stream.read(bitsMax)
  for (let i = 0; i < count; i++) {
    into[at + i] = symbol[state]!
    const used = bits[state]!
    state = ((state << used) & mask) | stream.read(used)
  }
  if (stream.left !== -bitsMax) fail('a Huffman stream is too long or too short')
}
