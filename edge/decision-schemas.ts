/** What the edge answers, as JSON Schema (2020-12) for /openapi.json. Answers are not validated: the encoder is tested. */
import { identifier, type JsonSchema } from './schemas.js'

const text: JsonSchema = { type: 'string' }
const number: JsonSchema = { type: 'number' }
const count: JsonSchema = { type: 'integer', minimum: 0 }
const truth: JsonSchema = { type: 'boolean' }
const when: JsonSchema = { type: 'string', format: 'date-time', description: 'YYYY-MM-DDThh:mm:ss.sssZ' }
const outcome: JsonSchema = { type: 'string', enum: ['approve', 'review', 'decline'] }
const share: JsonSchema = { type: 'number', minimum: 0, maximum: 1 }

/** An object of which every property is there but those in `optional`. */
function object(properties: Readonly<Record<string, JsonSchema>>, optional: readonly string[] = []): JsonSchema {
  return { type: 'object', properties, required: Object.keys(properties).filter(name => !optional.includes(name)) }
}

const list = (items: JsonSchema): JsonSchema => ({ type: 'array', items })
const map = (values: JsonSchema): JsonSchema => ({ type: 'object', additionalProperties: values })

export const decisionSchema: JsonSchema = {
  ...object(
    {
      decision_id: { ...text, description: 'A hash of application, customer_id and transaction_id.' },
      transaction_id: identifier,
      customer_id: identifier,
      event_time: when,
      decided_at: when,
      outcome,
      outcome_source: { type: 'string', enum: ['model', 'rule', 'list', 'default', 'fallback'] },
      score: { ...share, description: "The model's probability." },
      adjusted_score: { ...number, description: 'The score after rule modifiers; what policy uses.' },
      risk_level: { type: 'string', enum: ['normal', 'elevated', 'highest', 'not_assessed'] },
      reason_codes: {
        ...list(
          object({
            code: text,
            text,
            feature: { type: ['string', 'null'] },
            value: { type: ['number', 'null'] },
            impact: { type: ['number', 'null'] },
          }),
        ),
        maxItems: 4,
      },
      rule_hits: list(
        object({ rule_id: text, version: { type: 'integer' }, outcome, suppressed: truth, error: text }, ['error']),
      ),
      models: list(
        object({
          model_id: text,
          version: text,
          role: { type: 'string', enum: ['champion', 'challenger', 'shadow'] },
          score: number,
        }),
      ),
      config: object({ ruleset_version: text, feature_set_version: text, policy_version: text }),
      features: { ...map(number), description: 'Missing ones are absent; not there with include_features=false.' },
      late: truth,
      provisional: truth,
      degraded: { ...text, description: 'Why the decision is less than whole.' },
      source: object({ topic: text, partition: count, offset: { type: 'integer' } }),
      timings_us: map({ type: 'integer' }),
      explanation: { ...text, description: 'The decision in words, with include_explanation=true.' },
    },
    ['score', 'adjusted_score', 'features', 'degraded', 'explanation'],
  ),
  description: 'The answer to one transaction, with everything that it rests on.',
}

export const pendingSchema: JsonSchema = {
  ...object({ status: { type: 'string', const: 'pending' }, transaction_id: identifier, location: text }),
  description: 'Not decided within the deadline, but durable: ask at `location`.',
}

export const recordedSchema: JsonSchema = {
  ...object({ status: { type: 'string', const: 'recorded' }, transaction_id: identifier }),
  description: 'The record is durable and takes effect when the engine reaches it.',
}

export const healthSchema: JsonSchema = object({ status: { type: 'string', enum: ['ok', 'ready'] } })

export const statusSchema: JsonSchema = {
  ...object({
    ready: truth,
    reasons: list(text),
    now_ms: count,
    up_ms: count,
    in_flight: count,
    in_flight_max: count,
    requests_total: count,
    decisions_total: count,
    refused_total: count,
    latency_ms: { type: ['object', 'null'], properties: { p50: number, p99: number, of: count } },
    facts: map({ type: ['string', 'number'] }),
    recent: list(
      object(
        {
          transaction_id: text,
          decided_at: when,
          outcome,
          outcome_source: text,
          score: share,
          risk_level: text,
          provisional: truth,
        },
        ['score'],
      ),
    ),
  }),
  description: 'What the status page shows; totals count from the start of this process.',
}

export const keyStateSchema: JsonSchema = {
  ...object({
    slot: count,
    epoch: { ...count, description: 'The last committed one: what is shown is as of its end.' },
    step: text,
    key: { ...text, description: 'Masked unless show_pii=true.' },
    group: { ...count, description: 'The key group.' },
    found: { ...truth, description: 'Any state or timer.' },
    resident: { ...truth, description: 'In memory, not only on disk.' },
    dirty: { ...truth, description: 'Changed since the last write-back.' },
    states: list(
      object(
        {
          name: text,
          kind: { type: 'string', enum: ['value', 'map', 'paged'] },
          codec: { ...text, description: 'Name and version.' },
          present: truth,
          value: {
            description:
              'What the codec gives; of a map its first 1,000 entries as key and value; of a paged object what its ' +
              'operator says of it: windows, numbers, times.',
          },
          truncated: { ...truth, description: 'There is more than is shown.' },
          expires_at: when,
        },
        ['expires_at'],
      ),
    ),
    timers: list(text),
  }),
  description: 'What a step keeps of a key.',
}

export const problemSchema: JsonSchema = {
  ...object(
    {
      type: { ...text, description: 'urn:weir:error:CODE' },
      title: text,
      status: { type: 'integer', minimum: 400, maximum: 599 },
      detail: text,
      instance: { ...text, description: 'urn:weir:request:ID, as in the logs' },
      code: { ...text, description: 'As in docs/errors.md.' },
      errors: list(
        object(
          {
            pointer: { ...text, description: 'RFC 6901, into the body.' },
            parameter: { ...text, description: 'Of the query or the path.' },
            code: text,
            message: text,
          },
          ['pointer', 'parameter'],
        ),
      ),
    },
    ['errors'],
  ),
  description: 'Problem details (RFC 9457).',
}
