/**
 * Transactions and labels in few bytes, for topics that only Weir reads: no registry, no names. Format:
 * operators/exchange/FORMAT.md.
 *
 * Invariant: decode(encode(value)) is the value exactly, also where text is not well-formed UTF-16: an id that changed on its
 * way would be another key.
 */
import { type ByteReader, type ByteWriter, eventTime } from '../../kernel/index.js'
import type { ArrivedTransaction, Label, LabelValue } from './types.js'

/** What state/ calls a codec, without its name. */
interface Codec<T> {
  readonly name: string
  readonly version: number
  readonly encode: (value: T, into: ByteWriter) => void
  readonly decode: (from: ByteReader) => T
}

const labelValues: readonly LabelValue[] = ['fraud', 'legitimate']
const labelSources: readonly Label['label_source'][] = ['chargeback', 'manual_review', 'automated']

export const transactionCodec: Codec<ArrivedTransaction> = {
  name: 'transaction',
  version: 1,
  encode: (t, into) => {
    text(t.transaction_id, into)
    into.f64(t.event_time)
    text(t.customer_id, into)
    text(t.terminal_id, into)
    into.varint(t.amount_minor)
    text(t.currency, into)
    optional(t.card_id, into)
    optional(t.merchant_id, into)
    optional(t.merchant_category, into)
    optional(t.device_id, into)
    optional(t.ip_address, into)
    optional(t.email, into)
    optional(t.country, into)
    optional(t.channel, into)
    into.varint(t.metadata === null ? 0 : t.metadata.size + 1)
    for (const [name, value] of t.metadata ?? []) {
      text(name, into)
      text(value, into)
    }
    into.u8(t.inline_label === null ? 0 : labelValues.indexOf(t.inline_label) + 1)
  },
  decode: from => ({
    transaction_id: textOf(from),
    event_time: eventTime(from.f64()),
    customer_id: textOf(from),
    terminal_id: textOf(from),
    amount_minor: from.varint(),
    currency: textOf(from),
    card_id: optionalOf(from),
    merchant_id: optionalOf(from),
    merchant_category: optionalOf(from),
    device_id: optionalOf(from),
    ip_address: optionalOf(from),
    email: optionalOf(from),
    country: optionalOf(from),
    channel: optionalOf(from),
    metadata: metadataOf(from),
    inline_label: labelValues[from.u8() - 1] ?? null,
  }),
}

export const labelCodec: Codec<Label> = {
  name: 'label',
  version: 1,
  encode: (label, into) => {
    text(label.transaction_id, into)
    text(label.customer_id, into)
    text(label.terminal_id, into)
    into.f64(label.event_time)
    into.u8(labelValues.indexOf(label.label))
    into.u8(labelSources.indexOf(label.label_source))
    into.f64(label.available_at)
    optional(label.analyst, into)
  },
  decode: from => ({
    transaction_id: textOf(from),
    customer_id: textOf(from),
    terminal_id: textOf(from),
    event_time: eventTime(from.f64()),
    label: oneOf(labelValues, from.u8()),
    label_source: oneOf(labelSources, from.u8()),
    available_at: eventTime(from.f64()),
    analyst: optionalOf(from),
  }),
}

const anySurrogate = /[\ud800-\udfff]/

/** Twice its length in bytes as UTF-8; or twice its units and 1, then those, where UTF-8 would not give it back. */
function text(value: string, into: ByteWriter): void {
  const bytes = Buffer.from(value)
  if (!anySurrogate.test(value) || bytes.toString() === value) {
    into.varint(bytes.length * 2)
    into.bytes(bytes)
    return
  }
  into.varint(value.length * 2 + 1)
  into.bytes(Buffer.from(value, 'utf16le'))
}

function textOf(from: ByteReader): string {
  const length = from.varint()
  if (length % 2 === 0) return from.bytes(length / 2).toString('utf8')
  return from.bytes(length - 1).toString('utf16le')
}

function optional(value: string | null, into: ByteWriter): void {
  into.u8(value === null ? 0 : 1)
  if (value !== null) text(value, into)
}

const optionalOf = (from: ByteReader): string | null => (from.u8() === 0 ? null : textOf(from))

function metadataOf(from: ByteReader): ReadonlyMap<string, string> | null {
  const size = from.varint()
  if (size === 0) return null
  const metadata = new Map<string, string>()
  for (let left = size - 1; left > 0; left--) {
    const name = textOf(from)
    metadata.set(name, textOf(from))
  }
  return metadata
}

function oneOf<T>(values: readonly T[], index: number): T {
  const value = values[index]
  if (value === undefined) throw new RangeError(`no value ${index}`)
  return value
}
