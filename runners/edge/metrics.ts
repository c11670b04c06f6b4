/** What only an edge over Kafka has to tell, beside the metrics of HTTP. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { KafkaEdgeFacts } from './engine.js'

export function registerEdgeMetrics(edge: { readonly facts: KafkaEdgeFacts }, registry: Registry): void {
  /** A count, by its name, else a gauge. */
  const metric = (name: string, help: string, value: () => number): void => {
    ;new (name.endsWith('_total') ? Counter : Gauge)({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset()
        this.inc(value())
      },
    })
  }
  metric('weir_edge_kafka_answers', '1 while Kafka answers', () => (edge.facts.kafkaAnswers ? 1 : 0))
  metric('weir_edge_view_behind_records', 'Decisions that the view has not folded yet', () => edge.facts.viewBehind)
  metric(
    'weir_edge_view_no_decisions_total',
    'Records of decisions since the start that are none, and were passed over',
    () => edge.facts.viewNoDecisions,
  )
  metric(
    'weir_edge_replies_unclaimed_total',
    'Replies since the start for which nobody waited: late ones, and those to other edges',
    () => edge.facts.unclaimedReplies,
  )
}
