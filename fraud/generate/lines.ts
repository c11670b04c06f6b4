/** A generated transaction as a line of text, without the line end. */
import { formatEventTime } from '../../kernel/index.js'
import type { GeneratedTransaction } from './simulate.js'

/** The Handbook's columns; `replay --format handbook` reads the first six. */
export const handbookCsvHeader =
  'transaction_id,tx_datetime,customer_id,terminal_id,tx_amount,tx_fraud,tx_fraud_scenario'

/** `0,2024-01-01T00:00:31Z,596,3156,57.16,0,0`: the columns of `handbookCsvHeader`. */
export function toHandbookCsvLine(t: GeneratedTransaction): string {
  const cents = t.amountMinor % 100
  const amount = `${(t.amountMinor - cents) / 100}.${cents < 10 ? '0' : ''}${cents}`
  // Event times are whole seconds: the milliseconds, always .000, are left out.
  const at = formatEventTime(t.eventTime).slice(0, 19)
  return `${t.transactionId},${at}Z,${t.customerId},${t.terminalId},${amount},${t.fraud ? 1 : 0},${t.scenario}`
}

/** The contract's Transaction record as one line of JSON. It has no label: labels are records of their own. */
export function toTransactionJsonLine(t: GeneratedTransaction): string {
  // No field needs escaping: ids are digits behind a prefix of letters, digits and ._-
  return (
    `{"transaction_id":"${t.transactionId}","event_time":"${formatEventTime(t.eventTime)}","customer_id":"${t.customerId}"` +
    `,"terminal_id":"${t.terminalId}","amount_minor":${t.amountMinor},"currency":"EUR"}`
  )
}
