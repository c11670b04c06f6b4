/**
 * What a topology needs to know of bytes: how a source decodes and how a sink encodes.
 *
 * Invariant: a decoder never throws for bad input and never mutates state; it returns a RecordError, which the slot turns
 * into a dead letter (I7). Function-typed properties (not methods) keep sinks of another type a compile error.
 */
import type { Hash } from 'node:crypto'
import { type EventTimeMs, messageOf } from '../kernel/index.js'
import type { EncodedRecords } from '../log/index.js'
import { RecordError } from '../schemas/avro/index.js'

export interface SourceFormat<T> {
  readonly name: string
  /**
   * Decodes bytes[start, end). `null`: nothing is there by the format's own rules (a blank line), which is counted.
   * The result must not refer to `bytes`: the buffer is used again for the next poll.
   */
  readonly decode: (bytes: Buffer, start: number, end: number) => T | RecordError | null
}

/** What leaves with a record but is no part of the fold (I3): hashed neither in the journal nor in state. */
export interface EgressStamp {
  /** Wall clock in ms; in a replay the record's own event time. */
  readonly nowMs: number
  readonly timingsUs: Readonly<Record<string, number>> | null
}

/** Encodes the records of one epoch into one reused buffer. */
export interface RecordEncoder<T> {
  readonly reset: () => void
  readonly append: (value: T, at: EventTimeMs, egress: EgressStamp) => void
  readonly encoded: () => EncodedRecords
  /** Feeds everything but the egress stamps. */
  readonly hashInto: (hash: Hash) => void
}

export interface SinkFormat<T> {
  readonly name: string
  /** The record's key; its partition is murmur2(key) mod the topic's partitions. */
  readonly keyOf: (value: T) => string
  readonly encoder: () => RecordEncoder<T>
}

/**
 * Plain JSON values, one per record; for topologies without schemas.
 * @param parse checks and shapes what was received; what it throws becomes the dead letter's message
 */
export function json<T>(name: string, parse: (value: unknown) => T): SourceFormat<T> {
  return {
    name: `json:${name}`,
    decode: (bytes, start, end) => {
      try {
        // A null would count as blank, and a record would be gone without a word (I7).
        return parse(JSON.parse(bytes.toString('utf8', start, end))) ?? new RecordError('MALFORMED_RECORD', 'no value')
      } catch (error) {
        return new RecordError('MALFORMED_RECORD', messageOf(error))
      }
    },
  }
}

/** Plain JSON out; `keyOf` gives the key and with it the partition. */
export function toJson<T>(name: string, keyOf: (value: T) => string): SinkFormat<T> {
  return { name: `json:${name}`, keyOf, encoder: () => jsonEncoder(keyOf) }
}

function jsonEncoder<T>(keyOf: (value: T) => string): RecordEncoder<T> {
  let bytes = Buffer.allocUnsafe(1 << 14)
  let length = 0
  let keys: string[] = []
  let starts: number[] = []
  let ends: number[] = []
  return {
    reset: () => {
      length = 0
      keys = []
      starts = []
      ends = []
    },
    append: value => {
      const text: string | undefined = JSON.stringify(value)
      if (text === undefined) throw new TypeError(`a value of type ${typeof value} has no JSON form`)
      const needed = length + Buffer.byteLength(text) + 1
      if (needed > bytes.length) {
        const grown = Buffer.allocUnsafe(Math.max(needed, bytes.length * 2))
        bytes.copy(grown, 0, 0, length)
        bytes = grown
      }
      starts.push(length)
      length += bytes.write(text, length, 'utf8')
      ends.push(length)
      bytes[length++] = 0x0a
      keys.push(keyOf(value))
    },
    encoded: () => ({
      kind: 'encoded',
      count: keys.length,
      bytes: bytes.subarray(0, length),
      valueStart: Int32Array.from(starts),
      valueEnd: Int32Array.from(ends),
      keys,
    }),
    hashInto: hash => {
      hash.update(bytes.subarray(0, length))
    },
  }
}
