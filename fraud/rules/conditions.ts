/**
 * Conditions of rules: a small language that a person can read in JSON and that compiles to closures.
 *
 *   {"all": [c, …]}  {"any": [c, …]}  {"not": c}
 *   {"feature": name, "op": "gt", "value": 220}                             a number
 *   {"feature": name, "op": "gt", "value": {"feature": other, "times": 3}}  relative to another feature
 *   {"field": name, "op": "in", "value": ["EUR", "USD"]}                    a field of the transaction
 *
 * Invariants: 1. a comparison with something missing (a feature that is NaN, a field that is null) is false, `ne`
 * included; 2. types agree, because parsing refuses what does not; 3. evaluation allocates nothing and is pure (I3).
 */
import { WeirError } from '../../kernel/index.js'
import type { Transaction } from '../../schemas/avro/index.js'
import type { JsonNode } from '../documents/index.js'

const conditionDepthMax = 16
const branchesMax = 64
const setValuesMax = 1_000

const ops = ['gt', 'ge', 'lt', 'le', 'eq', 'ne', 'in'] as const
type Op = (typeof ops)[number]

/** What a comparison has on its right. */
type Right =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'numbers'; readonly values: ReadonlySet<number> }
  | { readonly kind: 'texts'; readonly values: ReadonlySet<string> }
  | { readonly kind: 'feature'; readonly name: string; readonly times: number }

export interface Comparison {
  readonly kind: 'compare'
  readonly left: { readonly kind: 'feature' | 'field'; readonly name: string }
  readonly op: Op
  readonly right: Right
  /** Where it stands in its document. */
  readonly path: string
}

export type Condition =
  | { readonly kind: 'all' | 'any'; readonly of: readonly Condition[] }
  | { readonly kind: 'not'; readonly of: Condition }
  | Comparison

/** @param features NaN where missing */
export type Predicate = (features: readonly number[], transaction: Transaction) => boolean

type NumberOf = (features: readonly number[], transaction: Transaction) => number
type TextOf = (transaction: Transaction) => string | null

const textFields = new Map<string, TextOf>([
  ['transaction_id', t => t.transaction_id],
  ['customer_id', t => t.customer_id],
  ['terminal_id', t => t.terminal_id],
  ['currency', t => t.currency],
  ['card_id', t => t.card_id],
  ['merchant_id', t => t.merchant_id],
  ['merchant_category', t => t.merchant_category],
  ['device_id', t => t.device_id],
  ['ip_address', t => t.ip_address],
  ['email', t => t.email],
  ['country', t => t.country],
  ['channel', t => t.channel],
])
const numberFields = new Map<string, NumberOf>([['amount_minor', (_, t) => t.amount_minor]])
const fieldNames = [...textFields.keys(), ...numberFields.keys()]

/** @throws WeirError of the document when the condition has a mistake */
export function parseCondition(node: JsonNode, depth = 1): Condition {
  if (depth > conditionDepthMax) node.fail(`is nested deeper than ${conditionDepthMax}`)
  for (const kind of ['all', 'any'] as const) {
    if (!node.has(kind)) continue
    const branches = node.object([kind]).get(kind)
    const of = branches.items(branchesMax).map(branch => parseCondition(branch, depth + 1))
    if (of.length === 0) branches.fail('must have at least one entry')
    return { kind, of }
  }
  if (node.has('not')) return { kind: 'not', of: parseCondition(node.object(['not']).get('not'), depth + 1) }
  return parseComparison(node)
}

function parseComparison(node: JsonNode): Comparison {
  node.object(['feature', 'field', 'op', 'value'])
  if (node.has('feature') === node.has('field')) node.fail('must have one of all, any, not, feature and field')
  const kind = node.has('feature') ? 'feature' : 'field'
  const name = kind === 'feature' ? node.get('feature').text() : node.get('field').oneOf(fieldNames)
  const op = node.get('op').oneOf(ops)
  const isText = kind === 'field' && textFields.has(name)
  if (isText && op !== 'eq' && op !== 'ne' && op !== 'in') node.get('op').fail('must be eq, ne or in for a text')
  const right = parseRight(node.get('value'), op, isText)
  return { kind: 'compare', left: { kind, name }, op, right, path: node.path }
}

function parseRight(value: JsonNode, op: Op, isText: boolean): Right {
  if (op === 'in') {
    const items = value.items(setValuesMax)
    if (items.length === 0) value.fail('must have at least one entry')
    return isText
      ? { kind: 'texts', values: new Set(items.map(item => item.text())) }
      : { kind: 'numbers', values: new Set(items.map(item => item.number())) }
  }
  if (isText) return { kind: 'text', value: value.text() }
  if (typeof value.value !== 'object' || value.value === null) return { kind: 'number', value: value.number() }
  value.object(['feature', 'times'])
  return { kind: 'feature', name: value.get('feature').text(), times: value.optional('times')?.number() ?? 1 }
}

/** The feature that a condition is about: of its first comparison that has one. */
export function firstFeature(condition: Condition): string | null {
  switch (condition.kind) {
    case 'compare':
      return condition.left.kind === 'feature' ? condition.left.name : null
    case 'not':
      return firstFeature(condition.of)
    default:
      for (const branch of condition.of) {
        const name = firstFeature(branch)
        if (name !== null) return name
      }
      return null
  }
}

/**
 * @param featureNames the columns that `features` will have, in their order
 * @throws WeirError UNKNOWN_FEATURE naming the place
 */
export function compileCondition(condition: Condition, featureNames: readonly string[]): Predicate {
  switch (condition.kind) {
    case 'compare':
      return compileComparison(condition, featureNames)
    case 'not': {
      const inner = compileCondition(condition.of, featureNames)
      return (f, t) => !inner(f, t)
    }
    case 'all':
      return condition.of
        .map(branch => compileCondition(branch, featureNames))
        .reduceRight((rest, first) => (f, t) => first(f, t) && rest(f, t))
    case 'any':
      return condition.of
        .map(branch => compileCondition(branch, featureNames))
        .reduceRight((rest, first) => (f, t) => first(f, t) || rest(f, t))
  }
}

function columnOf(name: string, featureNames: readonly string[], path: string): number {
  const column = featureNames.indexOf(name)
  if (column < 0) throw new WeirError('UNKNOWN_FEATURE', `the rule set uses ${name} at ${path}`)
  return column
}

function compileComparison(comparison: Comparison, featureNames: readonly string[]): Predicate {
  const { left, op, right, path } = comparison
  const text = left.kind === 'field' ? textFields.get(left.name) : undefined
  if (text !== undefined) return compareTexts(text, op, right)
  let number = left.kind === 'field' ? numberFields.get(left.name) : undefined
  if (number === undefined) {
    const column = columnOf(left.name, featureNames, path)
    number = features => features[column]!
  }
  if (right.kind !== 'feature') return compareToConstant(number, op, right)
  const { times } = right
  const other = columnOf(right.name, featureNames, path)
  return compareNumbers(number, op, features => features[other]! * times)
}

function compareTexts(textOf: TextOf, op: Op, right: Right): Predicate {
  if (right.kind === 'texts') {
    const { values } = right
    return (_, t) => {
      const text = textOf(t)
      return text !== null && values.has(text)
    }
  }
  const expected = right.kind === 'text' ? right.value : ''
  if (op === 'eq') return (_, t) => textOf(t) === expected
  return (_, t) => {
    const text = textOf(t)
    return text !== null && text !== expected
  }
}

function compareToConstant(numberOf: NumberOf, op: Op, right: Right): Predicate {
  if (right.kind === 'numbers') {
    const { values } = right
    return (f, t) => values.has(numberOf(f, t)) // NaN is never in the set: JSON has none
  }
  const value = right.kind === 'number' ? right.value : Number.NaN
  return compareNumbers(numberOf, op, () => value)
}

/** Every operator is false when a side is NaN; `ne` has to ask. */
function compareNumbers(a: NumberOf, op: Op, b: NumberOf): Predicate {
  switch (op) {
    case 'gt':
      return (f, t) => a(f, t) > b(f, t)
    case 'ge':
      return (f, t) => a(f, t) >= b(f, t)
    case 'lt':
      return (f, t) => a(f, t) < b(f, t)
    case 'le':
      return (f, t) => a(f, t) <= b(f, t)
    case 'ne':
      return (f, t) => {
        const left = a(f, t)
        const right = b(f, t)
        return left < right || left > right
      }
    default:
      return (f, t) => a(f, t) === b(f, t)
  }
}
