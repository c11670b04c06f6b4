/** Dead letters of the simulation: everything that must be right about one, as JSON. */
import type { AppendRecord } from '../../log/index.js'
import type { DeadLetter } from '../../runners/slot/index.js'

export interface EncodedLetter {
  readonly code: string
  readonly source: string
  readonly key: string | null
  readonly value: string | null
}

export function encodeDeadLetter({ code, source, key, value }: DeadLetter): AppendRecord {
  const letter = letterOf(code, `${source.topic}/${source.partition}/${source.offset}`, key, value)
  return { key, value: Buffer.from(JSON.stringify(letter)) }
}

export function letterOf(code: string, source: string, key: Buffer | null, value: Buffer | null): EncodedLetter {
  return { code, source, key: key?.toString('hex') ?? null, value: value?.toString('hex') ?? null }
}
