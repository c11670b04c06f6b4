/**
 * Decisions as framed Avro, straight into one buffer, in the shape that a log appends (EncodedRecords).
 *
 * Invariants:
 * 1. A value is the schema's framing and the encoding of schemas/avro/decision.avsc, field by field in its order; decoded it
 *    equals the JSON of the same decision (decision-json.ts).
 * 2. The hash of the outputs (I3) covers neither the egress stamps `decided_at` and `timings_us` nor the framing, whose id is
 *    the registry's.
 * 3. After each value stands the one byte 0x0A that EncodedRecords asks for.
 * 4. At most `decisionsMax` decisions (I6); the bytes of one are bounded by the limits of ids, rules and features.
 *
 * What `encoded` returns is valid until the next `reset`.
 */
import type { Hash } from 'node:crypto'
import type { EventTimeMs } from '../../kernel/index.js'
import type { EncodedRecords } from '../../log/index.js'
import type { Decision } from '../../schemas/avro/index.js'
import { framing, framingBytes } from '../../schemas/registry/index.js'
import { AvroWriter, longBytesMax, textBytesMax } from './avro-writer.js'
import { decisionsMaxDefault, EncodedDecisions } from './encoded-decisions.js'

const endOfBlocks = 0

/** More than all fixed words, times and numbers of a decision outside its lists and maps. */
const fixedBytes = 512

export interface AvroDecisionEncoderOptions {
  /** Of decision.avsc in the registry. */
  readonly schemaId: number
  /** Decisions between two resets. */
  readonly decisionsMax?: number
  /** Names of the timings that `append` is given, in their order. */
  readonly timingNames?: readonly string[]
}

export class AvroDecisionEncoder {
  readonly #decisions: EncodedDecisions
  /** Where `decided_at` begins and ends, and where `timings_us` begins. */
  readonly #decidedStart: Int32Array
  readonly #decidedEnd: Int32Array
  readonly #timingsStart: Int32Array
  readonly #writer = new AvroWriter(64 * 1024)
  readonly #framing: Buffer
  readonly #timings: readonly Uint8Array[]

  // The names of a configuration's features as bytes, remade when another one comes.
  #names: readonly string[] | undefined
  #features: readonly Uint8Array[] = []
  #featureBytesMax = 0

  constructor(options: AvroDecisionEncoderOptions) {
    const { schemaId, decisionsMax = decisionsMaxDefault, timingNames = [] } = options
    this.#framing = framing(schemaId)
    this.#decisions = new EncodedDecisions(this.#writer, decisionsMax)
    this.#decidedStart = new Int32Array(decisionsMax)
    this.#decidedEnd = new Int32Array(decisionsMax)
    this.#timingsStart = new Int32Array(decisionsMax)
    this.#timings = timingNames.map(textBytes)
  }

  get count(): number {
    return this.#decisions.count
  }

  reset(): void {
    this.#decisions.reset()
  }

  /**
   * An append that throws (too many decisions: a bug) leaves the encoder to be reset.
   * @param decidedAtMs when it leaves, ms since the epoch
   * @param timingsUs whole microseconds in the order of `timingNames`; null for none
   */
  append(decision: Decision, decidedAtMs: EventTimeMs, timingsUs: readonly number[] | null): void {
    const index = this.#decisions.next()
    const writer = this.#writer
    this.#adopt(decision)
    writer.reserve(this.#bytesMax(decision))
    this.#decisions.valueStart[index] = writer.length
    writer.raw(this.#framing)
    writer.text(decision.decision_id)
    writer.text(decision.transaction_id)
    writer.text(decision.customer_id)
    writer.long(decision.event_time)
    this.#decidedStart[index] = writer.length
    writer.long(decidedAtMs)
    this.#decidedEnd[index] = writer.length
    this.#outcome(decision)
    this.#lists(decision)
    this.#config(decision.config)
    this.#featureValues(decision.features)
    this.#tail(decision)
    this.#timingsStart[index] = writer.length
    this.#timingValues(timingsUs)
    this.#decisions.end(decision.customer_id)
  }

  /** What has been appended since the last reset; valid until the next one. */
  encoded(): EncodedRecords {
    return this.#decisions.encoded()
  }

  /** Feeds what the epoch decided, in order. */
  hashInto(hash: Hash): void {
    const { bytes } = this.#writer
    for (let i = 0; i < this.#decisions.count; i++) {
      hash.update(bytes.subarray(this.#decisions.valueStart[i]! + framingBytes, this.#decidedStart[i]!))
      hash.update(bytes.subarray(this.#decidedEnd[i]!, this.#timingsStart[i]!))
    }
  }

  #adopt(decision: Decision): void {
    if (decision.feature_names === this.#names) return
    this.#names = decision.feature_names
    this.#features = decision.feature_names.map(textBytes)
    this.#featureBytesMax = this.#features.reduce((sum, name) => sum + name.length + longBytesMax, 0)
  }

  /** A bound of the decision's bytes. */
  #bytesMax(decision: Decision): number {
    let sum = fixedBytes + this.#featureBytesMax + textBytesMax(decision.decision_id)
    for (const name of this.#timings) sum += name.length + longBytesMax
    sum += textBytesMax(decision.transaction_id) + textBytesMax(decision.customer_id)
    sum += textBytesMax(decision.degraded ?? '') + textBytesMax(decision.source.topic)
    const { ruleset_version, feature_set_version, policy_version } = decision.config
    sum += textBytesMax(ruleset_version) + textBytesMax(feature_set_version) + textBytesMax(policy_version)
    for (const { code, text, feature } of decision.reason_codes) {
      sum += textBytesMax(code) + textBytesMax(text) + textBytesMax(feature ?? '') + 3 * longBytesMax
    }
    for (const { rule_id, error } of decision.rule_hits) {
      sum += textBytesMax(rule_id) + textBytesMax(error ?? '') + 4 * longBytesMax
    }
    for (const { model_id, version } of decision.models) {
      sum += textBytesMax(model_id) + textBytesMax(version) + 4 * longBytesMax
    }
    return sum
  }

  #outcome(decision: Decision): void {
    const writer = this.#writer
    writer.text(decision.outcome)
    writer.text(decision.outcome_source)
    this.#optionalDouble(decision.score)
    this.#optionalDouble(decision.adjusted_score)
    writer.text(decision.risk_level)
  }

  #lists({ reason_codes, rule_hits, models }: Decision): void {
    const writer = this.#writer
    if (reason_codes.length > 0) writer.long(reason_codes.length)
    for (const { code, text, feature, value, impact } of reason_codes) {
      writer.text(code)
      writer.text(text)
      this.#optionalText(feature)
      this.#optionalDouble(value)
      this.#optionalDouble(impact)
    }
    writer.byte(endOfBlocks)
    if (rule_hits.length > 0) writer.long(rule_hits.length)
    for (const { rule_id, version, outcome, suppressed, error } of rule_hits) {
      writer.text(rule_id)
      writer.long(version)
      writer.text(outcome)
      writer.boolean(suppressed)
      this.#optionalText(error)
    }
    writer.byte(endOfBlocks)
    if (models.length > 0) writer.long(models.length)
    for (const { model_id, version, role, score } of models) {
      writer.text(model_id)
      writer.text(version)
      writer.text(role)
      writer.double(score)
    }
    writer.byte(endOfBlocks)
  }

  #config({ ruleset_version, feature_set_version, policy_version }: Decision['config']): void {
    this.#writer.text(ruleset_version)
    this.#writer.text(feature_set_version)
    this.#writer.text(policy_version)
  }

  #featureValues(values: readonly number[]): void {
    const writer = this.#writer
    const names = this.#features
    let present = 0
    for (let i = 0; i < names.length; i++) if (!Number.isNaN(values[i]!)) present++
    if (present > 0) writer.long(present)
    for (let i = 0; i < names.length; i++) {
      if (Number.isNaN(values[i]!)) continue
      writer.raw(names[i]!)
      writer.double(values[i]!)
    }
    writer.byte(endOfBlocks)
  }

  #tail(decision: Decision): void {
    const writer = this.#writer
    writer.boolean(decision.late)
    writer.boolean(decision.provisional)
    this.#optionalText(decision.degraded)
    writer.text(decision.source.topic)
    writer.long(decision.source.partition)
    writer.long(decision.source.offset)
  }

  #timingValues(timingsUs: readonly number[] | null): void {
    const writer = this.#writer
    if (timingsUs !== null && this.#timings.length > 0) {
      writer.long(this.#timings.length)
      for (let i = 0; i < this.#timings.length; i++) {
        writer.raw(this.#timings[i]!)
        writer.long(timingsUs[i]!)
      }
    }
    writer.byte(endOfBlocks)
  }

  #optionalText(text: string | null): void {
    this.#writer.present(text !== null)
    if (text !== null) this.#writer.text(text)
  }

  #optionalDouble(value: number | null): void {
    this.#writer.present(value !== null)
    if (value !== null) this.#writer.double(value)
  }
}

/** A text in Avro. */
function textBytes(text: string): Uint8Array {
  const writer = new AvroWriter(textBytesMax(text))
  writer.text(text)
  return writer.bytes.subarray(0, writer.length)
}
