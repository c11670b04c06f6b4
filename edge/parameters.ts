/**
 * Query parameters. Their schemas stand in /openapi.json and are what the reader goes by. A parameter that no schema names
 * is ignored; one that stands twice is an error.
 */
import type { Outcome } from '../schemas/avro/index.js'
import { deadlineMsDefault, deadlineMsMax, deadlineMsMin } from './limits.js'
import type { FieldProblem } from './problem.js'
import { identifier, type JsonSchema } from './schemas.js'

export type OnDeadline = 'pending' | Outcome

export const shapeParameters = {
  include_features: { type: 'boolean', default: true, description: 'With the features that the decision rests on.' },
  include_explanation: {
    type: 'boolean',
    default: false,
    description: 'With the decision in words, as `explanation`.',
  },
} as const satisfies Record<string, JsonSchema>

export const decideParameters = {
  deadline_ms: {
    type: 'integer',
    minimum: deadlineMsMin,
    maximum: deadlineMsMax,
    default: deadlineMsDefault,
    description: 'How long to wait for the decision, milliseconds.',
  },
  on_deadline: {
    type: 'string',
    enum: ['pending', 'approve', 'review', 'decline'],
    default: 'pending',
    description: 'What to answer after the deadline: 202, or 200 with this outcome as a provisional decision.',
  },
  ...shapeParameters,
} as const satisfies Record<string, JsonSchema>

export const findParameters = {
  customer_id: { ...identifier, description: 'Whose transaction it is; ids are unique for a customer only.' },
  ...shapeParameters,
} as const satisfies Record<string, JsonSchema>

export const stateParameters = {
  show_pii: {
    type: 'boolean',
    default: false,
    description: 'Keys, ids and other texts whole; otherwise their first and last character and their length.',
  },
} as const satisfies Record<string, JsonSchema>

/** How a decision is shown. */
export interface Shape {
  readonly includeFeatures: boolean
  readonly includeExplanation: boolean
}

export interface DecideParameters extends Shape {
  readonly deadlineMs: number
  readonly onDeadline: OnDeadline
}

/** As the query parser gives it: a string, or an array where a name stands several times. */
export type Query = Readonly<Record<string, unknown>>

const defaults: DecideParameters = {
  deadlineMs: deadlineMsDefault,
  onDeadline: 'pending',
  includeFeatures: true,
  includeExplanation: false,
}

export function readDecideParameters(query: Query, problems: FieldProblem[]): DecideParameters {
  // nearly every caller sends none
  for (const _ in query) return readAll(query, problems)
  return defaults
}

function readAll(query: Query, problems: FieldProblem[]): DecideParameters {
  const { deadline_ms, on_deadline } = decideParameters
  const deadline = query.deadline_ms
  let deadlineMs: number = deadline_ms.default
  if (deadline !== undefined) {
    deadlineMs = typeof deadline === 'string' && /^\d{1,6}$/.test(deadline) ? Number(deadline) : -1
    if (deadlineMs < deadlineMsMin || deadlineMs > deadlineMsMax) {
      problems.push(wrong('deadline_ms', `a whole number from ${deadlineMsMin} to ${deadlineMsMax}`))
    }
  }
  const asked = query.on_deadline
  const onDeadline = asked === undefined ? on_deadline.default : on_deadline.enum.find(word => word === asked)
  if (onDeadline === undefined) problems.push(wrong('on_deadline', `one of ${on_deadline.enum.join(', ')}`))
  return { deadlineMs, onDeadline: onDeadline ?? 'pending', ...readShape(query, problems) }
}

export function readShape(query: Query, problems: FieldProblem[]): Shape {
  return {
    includeFeatures: readBoolean(query, 'include_features', shapeParameters.include_features, problems),
    includeExplanation: readBoolean(query, 'include_explanation', shapeParameters.include_explanation, problems),
  }
}

export function readStateParameters(query: Query, problems: FieldProblem[]): { readonly showPii: boolean } {
  return { showPii: readBoolean(query, 'show_pii', stateParameters.show_pii, problems) }
}

function readBoolean(
  query: Query,
  name: string,
  schema: { readonly default: boolean },
  problems: FieldProblem[],
): boolean {
  const text = query[name]
  if (text === undefined) return schema.default
  if (text !== 'true' && text !== 'false') problems.push(wrong(name, 'true or false'))
  return text === 'true'
}

const limits = { pattern: new RegExp(identifier.pattern as string, 'u'), max: identifier.maxLength as number }

/** An identifier in the path or the query; undefined, with a problem noted, when it is none. */
export function readIdentifier(value: unknown, name: string, problems: FieldProblem[]): string | undefined {
  // characters are code points, as in JSON Schema; no id within the limit has more than twice as many UTF-16 units
  if (typeof value === 'string' && value !== '' && value.length <= limits.max * 2) {
    if ([...value].length <= limits.max && limits.pattern.test(value)) return value
  }
  problems.push({ parameter: name, code: 'INVALID_ID', message: `${name} is not ${identifier.description}` })
  return undefined
}

function wrong(parameter: string, wanted: string): FieldProblem {
  return { parameter, code: 'INVALID_FIELD', message: `${parameter} is not ${wanted}` }
}
