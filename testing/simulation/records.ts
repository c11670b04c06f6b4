/** The records of the simulated topology, and how they are read from bytes. */
import { type EventTimeMs, eventTime } from '../../kernel/index.js'
import { RecordError } from '../../schemas/avro/index.js'
import type { SourceFormat } from '../../topology/index.js'

/** Which step throws on a record: the process step, the flatMap, the terminal's, or the decision. */
export type Trap = 'watch' | 'legs' | 'terminal' | 'policy'

export interface Payment {
  readonly transaction_id: string
  readonly customer_id: string
  readonly terminal_id: string
  readonly event_time: number
  readonly amount_minor: number
  readonly currency: string
  readonly inline_label: boolean | null
  /** How many records the flatMap makes of it. */
  readonly legs: number
  readonly trap: Trap | null
}

export interface Verdict {
  readonly transaction_id: string
  readonly customer_id: string
  readonly terminal_id: string
  /** Of the payment. */
  readonly event_time: number
  readonly available_at: number
  readonly fraud: boolean
}

/** null: blank; undefined: malformed. */
export function parsePayment(text: string): Payment | null | undefined {
  return parse<Payment>(text, ['transaction_id', 'customer_id', 'terminal_id'], ['event_time', 'amount_minor'])
}

export function parseVerdict(text: string): Verdict | null | undefined {
  return parse<Verdict>(text, ['transaction_id', 'customer_id', 'terminal_id'], ['event_time', 'available_at'])
}

function parse<T>(text: string, ids: readonly string[], numbers: readonly string[]): T | null | undefined {
  if (text === '') return null
  try {
    const value = JSON.parse(text) as Record<string, unknown>
    const sound =
      ids.every(name => typeof value[name] === 'string') && numbers.every(name => Number.isSafeInteger(value[name]))
    return sound && (value.event_time as number) >= 0 ? (value as T) : undefined
  } catch {
    return undefined
  }
}

function formatOf<T>(name: string, read: (text: string) => T | null | undefined): SourceFormat<T> {
  return {
    name,
    decode: (bytes, start, end) => {
      const value = read(bytes.toString('utf8', start, end))
      return value === undefined ? new RecordError('MALFORMED_RECORD', `no ${name}`) : value
    },
  }
}

export const paymentFormat = formatOf('payment', parsePayment)
export const verdictFormat = formatOf('verdict', parseVerdict)

export const timeOf = (record: { readonly event_time: number }): EventTimeMs => eventTime(record.event_time)
