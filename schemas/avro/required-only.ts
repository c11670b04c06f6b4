import type { Transaction } from './types.js'

/** The fields that are not optional. */
export type RequiredFields = Pick<
  Transaction,
  'transaction_id' | 'event_time' | 'customer_id' | 'terminal_id' | 'amount_minor' | 'currency'
>

/** A transaction without any optional field, in the one shape that all transactions have (types.ts). */
export function requiredOnly(fields: RequiredFields): Transaction {
  return {
    ...fields,
    card_id: null,
    merchant_id: null,
    merchant_category: null,
    device_id: null,
    ip_address: null,
    email: null,
    country: null,
    channel: null,
    metadata: null,
  }
}
