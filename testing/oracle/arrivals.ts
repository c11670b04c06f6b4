/** What the oracles take and give: arrivals in the order of the log, and for each transaction what must come out. */

export interface TransactionArrival {
  readonly kind: 'transaction'
  readonly transaction_id: string
  readonly customer_id: string
  readonly terminal_id: string
  /** ms since 1970, UTC. */
  readonly event_time: number
  readonly amount_minor: number
  readonly currency: string
}

export interface LabelArrival {
  readonly kind: 'label'
  readonly transaction_id: string
  readonly customer_id: string
  readonly terminal_id: string
  /** Of the transaction. */
  readonly event_time: number
  readonly available_at: number
  readonly fraud: boolean
}

export type Arrival = TransactionArrival | LabelArrival

export type Expected =
  | { readonly outcome: 'duplicate'; readonly conflict: boolean }
  | {
      readonly outcome: 'decision'
      readonly late: boolean
      /** For its customer or its terminal; those features are missing. */
      readonly historyIncomplete: boolean
      /** Missing ones are absent. */
      readonly features: ReadonlyMap<string, number>
    }

export const day = 86_400_000
export const windowsInDays = [1, 7, 30] as const
/** Terminals are looked at as they were known seven days before. */
export const terminalDelay = 7 * day
export const allowedLateness = 30 * day
export const lateAfter = 10 * 60_000
export const dedupeHorizon = 67 * day

const withoutMinorUnits = 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'.split(' ')
const withThreeDigits = 'BHD IQD JOD KWD LYD OMR TND'.split(' ')

/** ISO 4217: minor units in one major unit. */
export function minorPerMajor(currency: string): number {
  if (withoutMinorUnits.includes(currency)) return 1
  return withThreeDigits.includes(currency) ? 1_000 : 100
}

/** The features that hang on the transaction alone. */
export function ownFeatures(transaction: TransactionArrival): [string, number][] {
  const time = new Date(transaction.event_time)
  const weekday = time.getUTCDay()
  return [
    ['tx_amount', transaction.amount_minor / minorPerMajor(transaction.currency)],
    ['tx_during_weekend', weekday === 0 || weekday === 6 ? 1 : 0],
    ['tx_during_night', time.getUTCHours() <= 6 ? 1 : 0],
  ]
}
