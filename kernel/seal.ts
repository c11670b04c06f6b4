/**
 * Authenticated encryption of whole values: AES-256-GCM with a fresh random nonce each time.
 *
 * Format, version 1; overhead `sealOverheadBytes`:
 *
 *     "WSEA"  version u8 = 1  key id 8 bytes  nonce 12 bytes  ciphertext  tag 16 bytes
 *
 * Invariants:
 * 1. Everything is authenticated: the bytes up to the key id and the context as additional data, the nonce by the cipher.
 *    The context is the value's name in its place, so that a value cannot be passed off as another one.
 * 2. No byte is handed out before the tag of all of them was checked.
 * 3. A key's id is computed from the key: a name can never stand for another key than the one that wrote. It tells nothing of it.
 * 4. No key, and no text that may hold one, gets into an error.
 *
 * Nonces are random, so that processes need not agree on anything; a key is good for 2^32 values (then two nonces are
 * equal with a probability of 2^-33, NIST SP 800-38D 8.3). What writes more often than a hundred times a second, year in,
 * year out, needs another scheme.
 */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { setImmediate as breathe } from 'node:timers/promises'
import { assert } from './assert.js'
import { WeirError } from './errors.js'

const cipherName = 'aes-256-gcm'
const magic = Buffer.from('WSEA')
const version = 1
const keyBytes = 32
const keyIdBytes = 8
const nonceBytes = 12
const tagBytes = 16
const headBytes = magic.length + 1 + keyIdBytes
/** A key ring of more is a mistake. */
const keysMax = 16
/** Enciphered in one go, some 0.5 ms; between them the event loop has its turn. */
const sliceBytes = 1 << 20

export const sealOverheadBytes = headBytes + nonceBytes + tagBytes

/** Keys by their ids, 16 hexadecimal digits. The first one seals; all of them open. */
export type SealKeys = ReadonlyMap<string, KeyObject>

/** What became of sealed bytes. `corrupt`: changed, cut short, or sealed for another context. */
export type Unsealed =
  | { readonly kind: 'opened'; readonly bytes: Buffer }
  | { readonly kind: 'not-sealed' }
  | { readonly kind: 'newer-version'; readonly version: number }
  | { readonly kind: 'unknown-key'; readonly keyId: string }
  | { readonly kind: 'corrupt' }

/**
 * @param text keys of 32 bytes, each as 64 hexadecimal digits or in base64, separated by white space or commas; `#` begins a
 * comment that ends with its line
 * @param where for messages: where the text comes from
 * @throws WeirError INVALID_KEYS
 */
export function parseSealKeys(text: string, where: string): SealKeys {
  const words = text.replace(/#.*$/gm, '').match(/[^\s,]+/g) ?? []
  if (words.length === 0) throw new WeirError('INVALID_KEYS', `${where} holds no key`)
  if (words.length > keysMax) {
    throw new WeirError('INVALID_KEYS', `${where} holds ${words.length} keys, more than ${keysMax}`)
  }
  const keys = new Map<string, KeyObject>()
  for (const [i, word] of words.entries()) {
    const bytes = parseKey(word)
    if (bytes === undefined) {
      throw new WeirError('INVALID_KEYS', `key ${i + 1} of ${where} is not 32 bytes in hexadecimal or base64`)
    }
    keys.set(keyIdOf(bytes), createSecretKey(bytes))
  }
  return keys
}

function parseKey(word: string): Buffer | undefined {
  if (/^[0-9a-fA-F]{64}$/.test(word)) return Buffer.from(word, 'hex')
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(word)) return undefined
  const bytes = Buffer.from(word, 'base64')
  return bytes.length === keyBytes ? bytes : undefined
}

const keyIdOf = (key: Buffer): string =>
  createHmac('sha256', key)
    .update('weir key id')
    .digest('hex')
    .slice(0, keyIdBytes * 2)

/**
 * @param bytes must not change before the result is there
 * @param context what `unseal` must be given again
 */
export async function seal(keys: SealKeys, bytes: Uint8Array, context: string): Promise<Buffer> {
  const [first] = keys
  assert(first !== undefined, 'there is a key')
  const [keyId, key] = first
  const sealed = Buffer.allocUnsafe(bytes.length + sealOverheadBytes)
  magic.copy(sealed)
  sealed[magic.length] = version
  sealed.write(keyId, magic.length + 1, 'hex')
  const nonce = randomBytes(nonceBytes)
  nonce.copy(sealed, headBytes)
  const cipher = createCipheriv(cipherName, key, nonce, { authTagLength: tagBytes })
  cipher.setAAD(additional(sealed, context))
  await transform(cipher, bytes, sealed, headBytes + nonceBytes)
  cipher.final()
  cipher.getAuthTag().copy(sealed, sealed.length - tagBytes)
  return sealed
}

/** @param sealed must not change before the result is there */
export async function unseal(keys: SealKeys, sealed: Uint8Array, context: string): Promise<Unsealed> {
  const input = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
  const keyId = sealedWith(input)
  if (keyId === undefined) return { kind: 'not-sealed' }
  if (input[magic.length] !== version) return { kind: 'newer-version', version: input[magic.length]! }
  if (input.length < sealOverheadBytes) return { kind: 'corrupt' }
  const key = keys.get(keyId)
  if (key === undefined) return { kind: 'unknown-key', keyId }
  const nonce = input.subarray(headBytes, headBytes + nonceBytes)
  const decipher = createDecipheriv(cipherName, key, nonce, { authTagLength: tagBytes })
  decipher.setAAD(additional(input, context))
  decipher.setAuthTag(input.subarray(input.length - tagBytes))
  const bytes = Buffer.allocUnsafe(input.length - sealOverheadBytes)
  await transform(decipher, input.subarray(headBytes + nonceBytes, input.length - tagBytes), bytes, 0)
  try {
    decipher.final()
  } catch {
    // Node says "Unsupported state or unable to authenticate data", whatever the reason.
    return { kind: 'corrupt' }
  }
  return { kind: 'opened', bytes }
}

/** The id of the key that sealed these bytes, as they say themselves; undefined when they are not sealed. */
export function sealedWith(bytes: Uint8Array): string | undefined {
  if (bytes.length < headBytes || magic.compare(bytes, 0, magic.length) !== 0) return undefined
  return Buffer.from(bytes.subarray(magic.length + 1, headBytes)).toString('hex')
}

const additional = (sealed: Buffer, context: string): Buffer =>
  Buffer.concat([sealed.subarray(0, headBytes), Buffer.from(context)])

async function transform(
  cipher: { update(bytes: Uint8Array): Buffer },
  from: Uint8Array,
  to: Buffer,
  toStart: number,
): Promise<void> {
  for (let at = 0; at < from.length; at += sliceBytes) {
    if (at > 0) await breathe()
    cipher.update(from.subarray(at, at + sliceBytes)).copy(to, toStart + at)
  }
}
