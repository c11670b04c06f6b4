/**
 * The DSL infers every type, and refuses what does not fit. Each `@ts-expect-error` is a test: the build fails when the line
 * below it compiles.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { days, eventTime, isWeirError } from '../../kernel/index.js'
import { count, mean } from '../../operators/index.js'
import { intCodec } from '../../state/index.js'
import { compile, json, modelNamed, toJson, topology } from '../../topology/index.js'

interface Payment {
  readonly id: string
  readonly customer: string
  readonly cents: number
  readonly atMs: number
}

const payment = json<Payment>('payment', value => value as Payment)
const out = toJson<Payment>('payment', p => p.customer)
const source = (app = topology('types')) => app.source('payments', payment, { eventTime: p => eventTime(p.atMs) })

test('values are inferred through every step', () => {
  const app = topology('types')
  const amounts = source(app)
    .keyBy('by-customer', p => p.customer)
    .velocity('spend', { amount: p => p.cents }, { nb: count().over(days(1)), avg: mean('amount').over(days(7)) })
    .map('amount', p => p.cents)
  amounts
    .map('double', n => n * 2)
    .to(
      'doubles',
      toJson<number>('n', n => String(n)),
    )
  // @ts-expect-error a number has no field `cents`
  amounts.map('wrong', n => n.cents)
  assert.equal(compile(app.graph).featureNames.join(), 'nb,avg')
})

test('a sink of another type does not compile', () => {
  const numbers = source().map('cents', p => p.cents)
  // @ts-expect-error a stream of numbers into a sink of payments
  numbers.to('payments-out', out)
  assert.ok(numbers)
})

test('a bare number is no time', () => {
  const app = topology('types')
  // @ts-expect-error number is not EventTimeMs
  app.source('payments', payment, { eventTime: p => p.atMs })
  // @ts-expect-error number is not DurationMs
  count().over(86_400_000)
})

test('state has the type it was declared with', () => {
  source()
    .keyBy('by-customer', p => p.customer)
    .process('total', {
      state: state => ({ total: state.value('total', intCodec) }),
      create: ({ state }) => ({
        onRecord: (p, _at, to: { emit(value: number): boolean }) => {
          const total = (state.total.get() ?? 0) + p.cents
          state.total.set(total)
          // @ts-expect-error the state holds numbers
          state.total.set('12')
          return to.emit(total)
        },
      }),
    })
})

test('an aggregate names a declared value', () => {
  const keyed = source().keyBy('by-customer', p => p.customer)
  // @ts-expect-error there is no value `amuont`
  keyed.velocity('spend', { amount: p => p.cents }, { avg: mean('amuont').over(days(7)) })
})

const codeOf = (build: () => void): string | undefined => {
  try {
    build()
  } catch (error) {
    return isWeirError(error) ? error.code : String(error)
  }
  return undefined
}

test('what types cannot see is refused when the topology is built', () => {
  assert.equal(
    codeOf(() =>
      source()
        .map('same', p => p)
        .map('same', p => p),
    ),
    'DUPLICATE_STEP',
  )
  assert.equal(
    codeOf(() => source().map('Not a name', p => p)),
    'INVALID_STEP_NAME',
  )
  assert.equal(
    codeOf(() => compile(topology('empty').graph)),
    'EMPTY_TOPOLOGY',
  )

  const unkeyed = topology('types')
  source(unkeyed)
    .keyBy('by-customer', p => p.customer)
    .map('new-value', p => ({ ...p }))
    .via<Payment>('spend', {
      kind: 'mine',
      stateful: true,
      features: [],
      parameters: {},
      create: () => ({ onRow: () => true }),
    })
    .to('out', out)
  assert.equal(
    codeOf(() => compile(unkeyed.graph)),
    'UNKEYED_STATE',
  )

  const late = topology('types')
  source(late)
    .score('model', { model: modelNamed('m') })
    .keyBy('by-customer', p => p.customer)
    .velocity('spend', { amount: p => p.cents }, { nb: count().over(days(1)) })
    .to('out', out)
  assert.equal(
    codeOf(() => compile(late.graph)),
    'STATE_AFTER_SCORE',
  )
})
