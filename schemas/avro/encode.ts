/** Transactions and labels as JSON values of their topics; what the decoders of this folder read back. */
import type { Label, Transaction } from './types.js'

/** Absent optional fields are left out; times are integer milliseconds. */
export function encodeTransactionJson(transaction: Transaction): Buffer {
  const { metadata, ...fields } = transaction
  return encode({ ...fields, metadata: metadata === null ? null : Object.fromEntries(metadata) })
}

export function encodeLabelJson(label: Label): Buffer {
  return encode({ ...label })
}

function encode(record: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(JSON.stringify(record, (_, value) => (value === null ? undefined : value)))
}
