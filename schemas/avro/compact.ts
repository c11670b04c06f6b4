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
    optionals(t, into)
    into.varint(t.metadata === null ? 0 : t.metadata.size + 1)
    for (const [name, value] of t.metadata ?? []) {
      text(name, into)
      text(value, into)
    }
    into.u8(t.inline_label === null ? 0 : labelValues.indexOf(t.inline_label) + 1)
  },
  decode: from => {
    const transaction_id = textOf(from)
    const event_time = eventTime(from.f64())
    const customer_id = textOf(from)
    const terminal_id = textOf(from)
    const amount_minor = from.varint()
    const currency = textOf(from)
    const present = from.u8()
    return {
      transaction_id,
      event_time,
      customer_id,
      terminal_id,
      amount_minor,
      currency,
      card_id: textIf(present & 1, from),
      merchant_id: textIf(present & 2, from),
      merchant_category: textIf(present & 4, from),
      device_id: textIf(present & 8, from),
      ip_address: textIf(present & 16, from),
      email: textIf(present & 32, from),
      country: textIf(present & 64, from),
      channel: textIf(present & 128, from),
      metadata: metadataOf(from),
      inline_label: labelValues[from.u8() - 1] ?? null,
    }
  },
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
    into.u8(bit(label.analyst, 1))
    if (label.analyst !== null) text(label.analyst, into)
  },
  decode: from => ({
    transaction_id: textOf(from),
    customer_id: textOf(from),
    terminal_id: textOf(from),
    event_time: eventTime(from.f64()),
    label: oneOf(labelValues, from.u8()),
    label_source: oneOf(labelSources, from.u8()),
    available_at: eventTime(from.f64()),
    analyst: textIf(from.u8(), from),
  }),
}

const anySurrogate = /[\ud800-\udfff]/

/** Twice its length in bytes as UTF-8; or twice its units and 1, then those, where UTF-8 would not give it back. */
function text(value: string, into: ByteWriter): void {
  if (!anySurrogate.test(value) || Buffer.from(value).toString() === value) {
    const byteLength = Buffer.byteLength(value)
    into.varint(byteLength * 2)
    into.utf8(value, byteLength)
    return
  }
  into.varint(value.length * 2 + 1)
  into.bytes(Buffer.from(value, 'utf16le'))
}

function textOf(from: ByteReader): string {
  const length = from.varint()
  if (length % 2 === 0) return from.utf8(length / 2)
  return from.bytes(length - 1).toString('utf16le')
}

/** A bit for each that is there, then those. */
function optionals(t: ArrivedTransaction, into: ByteWriter): void {
  const { card_id, merchant_id, merchant_category, device_id, ip_address, email, country, channel } = t
  into.u8(
    bit(card_id, 1) |
      bit(merchant_id, 2) |
      bit(merchant_category, 4) |
      bit(device_id, 8) |
      bit(ip_address, 16) |
      bit(email, 32) |
      bit(country, 64) |
      bit(channel, 128),
  )
  if (card_id !== null) text(card_id, into)
  if (merchant_id !== null) text(merchant_id, into)
  if (merchant_category !== null) text(merchant_category, into)
  if (device_id !== null) text(device_id, into)
  if (ip_address !== null) text(ip_address, into)
  if (email !== null) text(email, into)
  if (country !== null) text(country, into)
  if (channel !== null) text(channel, into)
}

const bit = (value: string | null, mask: number): number => (value === null ? 0 : mask)
const textIf = (present: number, from: ByteReader): string | null => (present === 0 ? null : textOf(from))

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
