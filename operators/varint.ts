/**
 * Varints over a plain byte array, without bounds checks or allocation: for runs, whose bytes this process wrote itself
 * and whose pages the state store checks. `position.at` is where the last read or write ended.
 */
export const position = { at: 0 }

export function readVarint(bytes: Uint8Array, from: number): number {
  let at = from
  let byte = bytes[at++]!
  if (byte < 128) {
    position.at = at
    return byte
  }
  let value = byte & 127
  byte = bytes[at++]!
  value |= (byte & 127) << 7
  if (byte >= 128) {
    byte = bytes[at++]!
    value |= (byte & 127) << 14
    if (byte >= 128) {
      byte = bytes[at++]!
      value |= (byte & 127) << 21
      if (byte >= 128) {
        let scale = 2 ** 28
        do {
          byte = bytes[at++]!
          value += (byte & 127) * scale
          scale *= 128
        } while (byte >= 128)
      }
    }
  }
  position.at = at
  return value
}

/** Where the varint that starts at `from` ends. */
export function skipVarint(bytes: Uint8Array, from: number): number {
  let at = from
  while (bytes[at++]! >= 128);
  return at
}

/** @param value whole, 0 to 2^53 - 1 @returns the end of what was written */
export function writeVarint(bytes: Uint8Array, from: number, value: number): number {
  let at = from
  let rest = value
  while (rest >= 2 ** 28) {
    bytes[at++] = (rest % 128) | 128
    rest = Math.floor(rest / 128)
  }
  while (rest >= 128) {
    bytes[at++] = (rest & 127) | 128
    rest >>>= 7
  }
  bytes[at++] = rest
  return at
}

export const zigzag = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value)
export const unzigzag = (value: number): number => ((value & 1) === 1 ? -(value + 1) / 2 : value / 2)
