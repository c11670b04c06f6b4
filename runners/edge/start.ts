/**
 * An edge from the first question that it asks Kafka. While Kafka or the schema registry does not answer it says so, and
 * refuses what needs them; whatever else keeps it from starting ends it: an operator has to act.
 */
import type { DecisionPort, HealthPort, StreamPort } from '../../edge/index.js'
import { decisionFromJson, explainDecision } from '../../fraud/index.js'
import { WeirError } from '../../kernel/index.js'
import { openPatiently } from '../serving/index.js'
import { KafkaEdge, type KafkaEdgeFacts, type KafkaEdgeOptions } from './engine.js'

export class StartingEdge {
  readonly decisions: DecisionPort = {
    decide: (transaction, deadlineMs) => this.#opened().decisions.decide(transaction, deadlineMs),
    provisional: (transaction, outcome, pending) => this.#opened().decisions.provisional(transaction, outcome, pending),
    find: (transactionId, customerId) => this.#opened().decisions.find(transactionId, customerId),
    label: label => this.#opened().decisions.label(label),
  }
  readonly stream: StreamPort = { decisions: (from, signal) => this.#opened().stream.decisions(from, signal) }
  readonly health: HealthPort = {
    notReady: () => this.#edge?.health.notReady() ?? [this.#waitsFor],
    status: () => this.#edge?.health.status() ?? {},
  }
  readonly explain = (decision: Buffer): string => explainDecision(decisionFromJson(decision))
  readonly #options: KafkaEdgeOptions
  #edge: KafkaEdge | undefined
  #waitsFor = 'asking Kafka for its topics'

  constructor(options: KafkaEdgeOptions) {
    this.#options = options
  }

  get facts(): KafkaEdgeFacts {
    return this.#edge?.facts ?? { viewBehind: 0, viewNoDecisions: 0, unclaimedReplies: 0, kafkaAnswers: false }
  }

  /** Resolves once it serves, or `signal` is aborted. @throws WeirError that needs an operator */
  async start(signal: AbortSignal): Promise<void> {
    const waiting = (reason: string): void => {
      this.#waitsFor = reason
      this.#options.onEvent({ kind: 'waiting', reason })
    }
    this.#edge = await openPatiently(() => KafkaEdge.open(this.#options), waiting, signal)
  }

  async close(): Promise<void> {
    await this.#edge?.close()
  }

  /** Requests are refused while it is not ready; one that came before may be under way. */
  #opened(): KafkaEdge {
    if (this.#edge === undefined) throw new WeirError('LOG_UNAVAILABLE', this.#waitsFor)
    return this.#edge
  }
}
