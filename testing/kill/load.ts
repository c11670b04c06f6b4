/**
 * Clients that post transactions and remember what they were told. A client of Weir's, not a part of it: nothing here
 * shares code with the engine.
 */
import { seededRandom } from '../random/index.js'

export interface SentTransaction {
  readonly transaction_id: string
  readonly customer_id: string
  readonly terminal_id: string
  readonly event_time: number
  readonly amount_minor: number
  readonly currency: string
}

/** What the callers know; the verifier holds the log of decisions against it. */
export interface Ledger {
  /** Everything ever sent, by id; an id belongs to one customer. */
  readonly sent: Map<string, SentTransaction>
  /** Answered 200, with the answer's decision_id. */
  readonly decided: Map<string, string>
  /** Answered 202. */
  readonly pending: Set<string>
  /** Answers that contradict an earlier one of the same id. */
  readonly contradictions: string[]
}

export const emptyLedger = (): Ledger => ({
  sent: new Map(),
  decided: new Map(),
  pending: new Set(),
  contradictions: [],
})

export interface LoadOptions {
  readonly url: string
  readonly seed: number
  readonly requests: number
  readonly clients: number
  readonly idPrefix: string
  /** Stops early: the process is being killed. */
  readonly stopped: () => boolean
  /** After each answer. */
  readonly onAnswer?: () => void
}

const customers = 150
const terminals = 40
/** One in so many requests repeats an earlier one, as callers do that heard no answer. */
const repeatEvery = 20

/** Posts until `requests` are sent or everything is stopped. Broken connections are what a kill looks like: not errors. */
export async function load(options: LoadOptions, ledger: Ledger): Promise<void> {
  const random = seededRandom(options.seed)
  let next = 0
  const client = async (): Promise<void> => {
    while (next < options.requests && !options.stopped()) {
      const number = next++
      const transaction =
        number % repeatEvery === repeatEvery - 1 ? anEarlierOne(ledger, random) : fresh(options, number, random)
      ledger.sent.set(transaction.transaction_id, transaction)
      await post(options, transaction, ledger)
    }
  }
  await Promise.all(Array.from({ length: options.clients }, client))
}

function fresh(options: LoadOptions, number: number, random: () => number): SentTransaction {
  return {
    transaction_id: `${options.idPrefix}-${number}`,
    customer_id: `c-${Math.floor(random() * customers)}`,
    terminal_id: `t-${Math.floor(random() * terminals)}`,
    // Up to a quarter of an hour late: some are out of order, some `late`.
    event_time: Date.now() - Math.floor(random() ** 4 * 900_000),
    amount_minor: Math.floor(random() * 30_000),
    currency: 'EUR',
  }
}

function anEarlierOne(ledger: Ledger, random: () => number): SentTransaction {
  const all = [...ledger.sent.values()].slice(-500)
  const picked = all[Math.floor(random() * all.length)]
  if (picked === undefined) throw new Error('nothing was sent yet')
  return picked
}

async function post(options: LoadOptions, transaction: SentTransaction, ledger: Ledger): Promise<void> {
  let status: number
  let body: { decision_id?: string }
  try {
    const reply = await fetch(`${options.url}/v1/decisions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(transaction),
    })
    status = reply.status
    body = (await reply.json()) as { decision_id?: string }
  } catch {
    // The process died under the request: it may or may not have been taken.
    return
  }
  const id = transaction.transaction_id
  if (status === 202) ledger.pending.add(id)
  else if (status === 200) {
    const decisionId = body.decision_id ?? ''
    const before = ledger.decided.get(id)
    if (before !== undefined && before !== decisionId)
      ledger.contradictions.push(`${id}: ${before}, then ${decisionId}`)
    ledger.decided.set(id, decisionId)
  } else if (status !== 429 && status !== 503) {
    ledger.contradictions.push(`${id}: answered ${status} ${JSON.stringify(body)}`)
  }
  options.onAnswer?.()
}
