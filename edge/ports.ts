/**
 * What the HTTP edge needs of the engine. The edge is thin: it validates, asks these ports, and answers; it holds no
 * state but what is in flight. Runners implement the ports, embedded or over Kafka.
 */
import type { Label, Outcome, Transaction } from '../schemas/avro/index.js'

/** A decision as the line of JSON that stands on `decisions`. */
export type DecisionJson = Buffer

export type DecideReply =
  /** `repeated`: the id was decided before; this is that first decision. */
  | { readonly kind: 'decided'; readonly decision: DecisionJson; readonly repeated: boolean }
  /** Same id and customer, but another amount, currency or terminal. */
  | { readonly kind: 'conflict' }
  /** The id was decided before, and that first decision is past its retention. */
  | { readonly kind: 'expired' }
  /** Accepted into the log, then dead-lettered. */
  | { readonly kind: 'rejected'; readonly code: string; readonly message: string }
  /** Not decided within the deadline; durable in the log, so it will be. */
  | {
      readonly kind: 'pending'
      readonly source: { readonly topic: string; readonly partition: number; readonly offset: number }
    }

export type FindReply =
  | { readonly kind: 'found'; readonly decision: DecisionJson }
  /** The id was decided for several customers. */
  | { readonly kind: 'ambiguous' }
  | { readonly kind: 'unknown' }

export interface DecisionPort {
  /**
   * Appends the transaction and waits for its decision, at most `deadlineMs`. Nothing resolves before the transaction is
   * durable.
   * @throws WeirError QUEUE_FULL when too many are in flight, LOG_UNAVAILABLE when the log does not take it
   */
  decide(transaction: Transaction, deadlineMs: number): Promise<DecideReply>
  /** Records a provisional answer on decisions.provisional and returns it. @param pending what `decide` answered */
  provisional(
    transaction: Transaction,
    outcome: Outcome,
    pending: Extract<DecideReply, { kind: 'pending' }>,
  ): Promise<DecisionJson>
  find(transactionId: string, customerId: string | undefined): Promise<FindReply>
  /** Resolves when the label is durable. */
  label(label: Label): Promise<void>
}

/** Decisions as they are made, for those who follow them. */
export interface StreamPort {
  /**
   * In the order of their log. Where it begins is fixed by this call, not by the first read: what is decided after it is
   * seen. A reader that is slow holds nothing but its position.
   * @param signal ends the iteration and releases what it holds; closing the engine does so too
   * @throws WeirError OFFSET_OUT_OF_RANGE while it is iterated, when the reader is slower than retention
   */
  decisions(from: 'beginning' | 'end', signal: AbortSignal): AsyncIterable<DecisionJson>
}

export interface HealthPort {
  /** Why requests cannot be served now; [] when they can. */
  notReady(): readonly string[]
  /** A few facts for the status page, by name. */
  status(): Readonly<Record<string, string | number>>
  /** The last decisions, newest first, however they came in; without it the status page has those answered over HTTP. */
  recent?(): readonly DecisionJson[]
}

/** The state of keys, for operators of the deployment. */
export interface StatePort {
  /**
   * What a step keeps of a key, as plain JSON (KeyState of /openapi.json).
   * @param options showPii: keys, ids and other texts whole, and not masked
   * @throws WeirError UNKNOWN_STEP, NOT_READY, QUEUE_FULL, BACKEND_FAILED
   */
  inspect(step: string, key: string, options: { readonly showPii: boolean }): Promise<object>
}

export interface EdgePorts {
  readonly decisions: DecisionPort
  readonly health: HealthPort
  /** Without it there is no /v1/stream. */
  readonly stream?: StreamPort
  /** Without it there is no /v1/admin/state. */
  readonly state?: StatePort
  /** One decision in words. */
  readonly explain: (decision: DecisionJson) => string
  /** Wall clock, ms. */
  readonly nowMs: () => number
}
