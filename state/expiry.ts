/**
 * The index that finds expired idle keys: `day | step | key group | key | handle`, by the day on which the object expired
 * as far as its last arming knew.
 *
 * Invariants: 1. the index only finds; whether an object is expired is asked of the object (paged.ts); 2. an entry found
 * before its object is due moves to the day on which it will be, so an entry is written once a life and once a sweep, not
 * on every change; 3. a sweep changes the live cache and leaves the backend to the next write, so the backend never
 * lacks an object that its own position could still see (I2).
 */
import type { StoreCore } from './entry.js'
import { KeyWriter, lengthPrefixed, type ParsedKey, parseKey, space } from './keys.js'

const dayMs = 86_400_000
/** Never due. */
const lastDay = 0xffffffff

/** The day of an expiry, ms since the epoch; days before 1970 count as day 0. */
export function expiryDay(expiresAt: number): number {
  return Math.min(Math.max(Math.floor(expiresAt / dayMs), 0), lastDay)
}

function dayPrefix(namespace: Uint8Array, day: number): Buffer {
  const bytes = Buffer.alloc(namespace.length + 5)
  bytes.set(namespace)
  bytes[namespace.length] = space.expiry
  bytes.writeUInt32BE(day, namespace.length + 1)
  return bytes
}

const writer = new KeyWriter()

/** @param handle from lengthPrefixed. @returns a copy */
export function expiryKey(
  namespace: Uint8Array,
  day: number,
  step: string,
  group: number,
  key: string,
  handle: Buffer,
): Buffer {
  writer.begin(Buffer.concat([dayPrefix(namespace, day), lengthPrefixed(step)]), group, key)
  return Buffer.concat([writer.whole(), handle])
}

/** An entry of the index that is due to be looked at. */
export interface DueEntry {
  readonly indexKey: Buffer
  readonly at: ParsedKey
  readonly handle: string
}

/** Walks the index up to the expiry clock, a bounded part at a time. Between two writes it meets no entry twice. */
export class ExpiryIndex {
  readonly #core: StoreCore
  #from: Buffer | undefined
  /** The first day that may have entries: deleted ones cost a range until the backend has compacted them. */
  #firstDay = 0
  /** Index keys to delete with the next batch … */
  readonly deletes: Buffer[] = []
  /** … and, after them, to put. */
  readonly puts: Buffer[] = []
  /** The first of their days: nobody meets them before that batch is in the backend. */
  firstPut = Number.POSITIVE_INFINITY

  constructor(core: StoreCore) {
    this.#core = core
  }

  /** The next entries of days that lie wholly before the expiry clock; reads nothing when it stands at their end. */
  async next(limit: number): Promise<readonly DueEntry[]> {
    const { namespace, backend, expiryClock } = this.#core
    if (expiryClock < dayMs) return []
    const today = expiryDay(expiryClock)
    const lt = dayPrefix(namespace, today)
    const gte = this.#from ?? dayPrefix(namespace, Math.min(this.#firstDay, today))
    if (gte.compare(lt) >= 0) return []
    const found = await backend.range({ gte, lt, limit })
    if (found.length < limit) this.#firstDay = Math.max(this.#firstDay, today)
    this.#from = found.length < limit ? lt : Buffer.concat([found[found.length - 1]!.key, Buffer.of(0)])
    return found.map(({ key }) => {
      const at = parseKey(key, namespace.length + 5)
      return { indexKey: key, at, handle: at.rest.toString('utf8', 1) }
    })
  }

  remove(entry: DueEntry): void {
    this.deletes.push(entry.indexKey)
  }

  move(entry: DueEntry, expiresAt: number): void {
    const { step, group, key, rest } = entry.at
    this.deletes.push(entry.indexKey)
    const day = expiryDay(expiresAt)
    this.firstPut = Math.min(this.firstPut, day)
    this.puts.push(expiryKey(this.#core.namespace, day, step, group, key, rest))
  }

  /** The batch has the changes. */
  serialised(): void {
    this.deletes.length = 0
    this.puts.length = 0
    this.firstPut = Number.POSITIVE_INFINITY
  }

  /**
   * The backend has the batch: entries armed or moved in it for days that have passed by now are met.
   * @param armedDay the first day that it has new entries for
   */
  rewind(armedDay: number): void {
    this.#from = undefined
    this.#firstDay = Math.min(this.#firstDay, armedDay)
  }
}
