/** Query parameters of a stream; as in parameters.ts, the schemas stand in /openapi.json. */
import type { Query } from './parameters.js'
import type { FieldProblem } from './problem.js'
import type { JsonSchema } from './schemas.js'

export const ndjsonType = 'application/x-ndjson'

const countMax = Number.MAX_SAFE_INTEGER

export const streamParameters = {
  from: {
    type: 'string',
    enum: ['beginning', 'end'],
    default: 'end',
    description: 'Where to begin: with the oldest decision that the log has, or with the next one.',
  },
  count: {
    type: 'integer',
    minimum: 1,
    maximum: countMax,
    description: 'Ends after so many decisions; without it the stream has no end.',
  },
} as const satisfies Record<string, JsonSchema>

export interface StreamParameters {
  readonly from: 'beginning' | 'end'
  /** Infinity when none was asked for. */
  readonly count: number
}

export function readStreamParameters(query: Query, problems: FieldProblem[]): StreamParameters {
  const wanted = query.from
  const from = wanted === undefined ? streamParameters.from.default : streamParameters.from.enum.find(x => x === wanted)
  if (from === undefined) problems.push(wrong('from', `one of ${streamParameters.from.enum.join(', ')}`))
  let count = Number.POSITIVE_INFINITY
  if (query.count !== undefined) {
    count = typeof query.count === 'string' && /^\d{1,16}$/.test(query.count) ? Number(query.count) : 0
    if (count < 1 || count > countMax) problems.push(wrong('count', `a whole number from 1 to ${countMax}`))
  }
  return { from: from ?? 'end', count }
}

function wrong(parameter: string, wanted: string): FieldProblem {
  return { parameter, code: 'INVALID_FIELD', message: `${parameter} is not ${wanted}` }
}
