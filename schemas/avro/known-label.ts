import { days, plus } from '../../kernel/index.js'
import type { ArrivedTransaction, Label } from './types.js'

/** Labels of historical files become available as chargebacks do: seven days after the transaction (contract). */
const labelDelay = days(7)

/** The Label record of what a historical file says of a transaction; null where it says nothing. */
export function knownLabel(t: ArrivedTransaction): Label | null {
  if (t.inline_label === null) return null
  return {
    transaction_id: t.transaction_id,
    customer_id: t.customer_id,
    terminal_id: t.terminal_id,
    event_time: t.event_time,
    label: t.inline_label,
    label_source: 'chargeback',
    available_at: plus(t.event_time, labelDelay),
    analyst: null,
  }
}
