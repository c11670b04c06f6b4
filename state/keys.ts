/**
 * The key layout of the state store (state/FORMAT.md): `operator | key group | key | sub-key`.
 *
 * Invariants: 1. no storage key is a prefix of one that belongs to something else (every part but the last has its length
 * before it); 2. a key group of a step is one contiguous range, so checkpoints and rescaling are range reads; 3. the parts
 * of a handle sort by the bytes of their ids.
 */
import { assert, positiveMurmur2, WeirError } from '../kernel/index.js'

/** First byte of a storage key, after the store's namespace. */
export const space = { meta: 0x10, entry: 0x11, timer: 0x12, expiry: 0x13 } as const

/** UTF-8 bytes of a key; the length is stored in 16 bits. */
export const keyBytesMax = 0xffff
export const keyGroupsMax = 1_024

const rootTag = 0
const partTag = 1

export interface KeyRange {
  readonly gte: Buffer
  readonly lt: Buffer
}

/** The largest multiple of the partition count not above 1,024: a key group then lies in exactly one partition. */
export function keyGroupsFor(partitions: number): number {
  assert(Number.isInteger(partitions) && partitions > 0 && partitions <= 0xffff, `${partitions} partitions`)
  return Math.max(1, Math.floor(keyGroupsMax / partitions)) * partitions
}

/** The key group of a key given as UTF-8 bytes. */
export function keyGroupOf(key: Uint8Array, keyGroups: number): number {
  return positiveMurmur2(key) % keyGroups
}

/** Every key that starts with `prefix`. */
export function prefixRange(prefix: Buffer): KeyRange {
  let end = prefix.length
  while (end > 0 && prefix[end - 1] === 0xff) end--
  assert(end > 0, 'a prefix of 0xFF bytes has no end')
  const lt = Buffer.from(prefix.subarray(0, end))
  lt[end - 1] = lt[end - 1]! + 1
  return { gte: Buffer.from(prefix), lt }
}

/** A name with its length before it: how steps and handles stand in a key. */
export function lengthPrefixed(name: string): Buffer {
  const bytes = Buffer.from(name, 'utf8')
  assert(bytes.length >= 1 && bytes.length <= 255, `name '${name}' is not 1 to 255 bytes`)
  return Buffer.concat([Buffer.of(bytes.length), bytes])
}

/** What every key of a step starts with, in one of the spaces. */
export function stepPrefix(namespace: Uint8Array, within: number, step: string): Buffer {
  return Buffer.concat([namespace, Buffer.of(within), lengthPrefixed(step)])
}

/** The ranges that hold all state of one key group of a step: its entries and its timers. */
export function keyGroupRange(
  namespace: Uint8Array,
  step: string,
  group: number,
): { entries: KeyRange; timers: KeyRange } {
  const of = (within: number) => prefixRange(Buffer.concat([stepPrefix(namespace, within, step), u16(group)]))
  return { entries: of(space.entry), timers: of(space.timer) }
}

function u16(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2)
  bytes.writeUInt16BE(value)
  return bytes
}

/**
 * Builds keys in one buffer. What it returns is a view that lives until the next call: copy it to keep it.
 */
export class KeyWriter {
  #buffer = Buffer.allocUnsafe(256)
  #length = 0

  #reserve(bytes: number): void {
    if (this.#buffer.length >= bytes) return
    const grown = Buffer.allocUnsafe(bytes * 2)
    // all of it: a handle may stand after the key already
    this.#buffer.copy(grown)
    this.#buffer = grown
  }

  /** Starts the keys of one key of a step. @param prefix from stepPrefix, or from dayPrefix for the expiry index */
  begin(prefix: Buffer, group: number, key: string): void {
    this.#reserve(prefix.length + 4 + key.length * 3)
    this.#length = 0
    this.#buffer.set(prefix, 0)
    const at = prefix.length
    const length = writeUtf8(this.#buffer, at + 4, key)
    assert(length <= keyBytesMax, 'key longer than its length field')
    this.#buffer.writeUInt16BE(group, at)
    this.#buffer.writeUInt16BE(length, at + 2)
    this.#length = at + 4 + length
  }

  /** The key itself: `step | group | key`. */
  whole(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  /** The handle's one entry that is loaded with the key. @param handle from lengthPrefixed */
  root(handle: Buffer): Buffer {
    return this.#buffer.subarray(0, this.#append(handle, rootTag))
  }

  /** A sub-entry of the handle: an entry of a map, a page of a paged object. */
  part(handle: Buffer, id: string): Buffer {
    const at = this.#append(handle, partTag)
    this.#reserve(at + id.length * 3)
    return this.#buffer.subarray(0, at + writeUtf8(this.#buffer, at, id))
  }

  /** All parts of the handle; an id starts after `idFrom` bytes. Copied. */
  parts(handle: Buffer): KeyRange & { idFrom: number } {
    const prefix = this.#buffer.subarray(0, this.#append(handle, partTag))
    return { ...prefixRange(prefix), idFrom: prefix.length }
  }

  #append(handle: Buffer, tag: number): number {
    const at = this.#length
    this.#reserve(at + handle.length + 1)
    this.#buffer.set(handle, at)
    this.#buffer[at + handle.length] = tag
    return at + handle.length + 1
  }
}

/** Ids are short ASCII nearly always; a loop then beats the native call three times. */
function writeUtf8(into: Buffer, at: number, text: string): number {
  const length = text.length
  if (length > 64) return into.write(text, at, 'utf8')
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i)
    if (unit > 127) return into.write(text, at, 'utf8')
    into[at + i] = unit
  }
  return length
}

/** @throws WeirError STATE_KEY_TOO_LONG */
export function checkKeyLength(key: string): void {
  if (key.length * 3 <= keyBytesMax) return
  const bytes = Buffer.byteLength(key)
  if (bytes > keyBytesMax)
    throw new WeirError('STATE_KEY_TOO_LONG', `a state key has ${bytes} bytes of at most ${keyBytesMax}`)
}

/** A key of a space, taken apart again. */
export interface ParsedKey {
  readonly step: string
  readonly group: number
  readonly key: string
  /** What follows the key. */
  readonly rest: Buffer
}

/** @param at where the length of the step's name stands */
export function parseKey(bytes: Buffer, at: number): ParsedKey {
  const stepEnd = at + 1 + bytes.readUInt8(at)
  const keyAt = stepEnd + 4
  const keyEnd = keyAt + bytes.readUInt16BE(stepEnd + 2)
  if (keyEnd > bytes.length) throw new RangeError('state key cut short')
  return {
    step: bytes.toString('utf8', at + 1, stepEnd),
    group: bytes.readUInt16BE(stepEnd),
    key: bytes.toString('utf8', keyAt, keyEnd),
    rest: bytes.subarray(keyEnd),
  }
}
