/**
 * Values without a codec of their own, as JSON. Invariant: what would not come back as it went is refused when it is
 * written, where it can still become a dead letter (I7): a Map must not turn into {} on its way to another slot.
 */
import type { StateCodec } from '../../state/index.js'

export const jsonCodec: StateCodec<unknown> = {
  name: 'json',
  version: 1,
  encode: (value, into) => {
    checkPlain(value)
    into.string(JSON.stringify(value))
  },
  decode: from => JSON.parse(from.string()) as unknown,
}

/** @throws TypeError for what JSON does not give back: declare a codec for such a stream */
function checkPlain(value: unknown): void {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return
  if (typeof value === 'number' && Number.isFinite(value) && !Object.is(value, -0)) return
  if (typeof value === 'object' && isPlain(value)) {
    for (const part of Object.values(value)) checkPlain(part)
    return
  }
  const what = typeof value === 'object' ? value.constructor?.name : `${typeof value} ${String(value)}`
  throw new TypeError(`${what} has no place in JSON: its stream needs a codec to leave for another slot`)
}

function isPlain(value: object): boolean {
  if ('toJSON' in value) return false
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype
}
