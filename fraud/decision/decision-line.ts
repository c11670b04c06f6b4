/** Any value of `decisions` as its line of JSON: what HTTP answers, whatever the topic holds. */
import { DecisionEncoder } from './decision-json.js'
import { decisionFromAvro, type StampedDecision } from './from-avro.js'

/**
 * A reader of values as Weir writes them: JSON passes as it is, framed Avro is written as the same decision's JSON.
 * It throws WeirError MALFORMED_RECORD for Avro that is no decision.
 */
export function decisionLines(): (value: Buffer) => Buffer {
  const fromAvro = decisionFromAvro()
  const encoder = new DecisionEncoder({ decisionsMax: 1 })
  return value => (value[0] === 0 ? lineOf(fromAvro(value), encoder) : value)
}

function lineOf(decision: StampedDecision, untimed: DecisionEncoder): Buffer {
  const timings = Object.entries(decision.timings_us)
  const timed = timings.length > 0
  const encoder = timed ? new DecisionEncoder({ decisionsMax: 1, timingNames: timings.map(([name]) => name) }) : untimed
  encoder.reset()
  encoder.append(decision, decision.decided_at, timed ? timings.map(([, us]) => us) : null)
  const { bytes, valueStart, valueEnd } = encoder.encoded()
  return Buffer.from(bytes.subarray(valueStart[0], valueEnd[0]))
}
