/** Graph and plan: what a topology may be, what the plan says of it, and what its fingerprint sees. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { days, eventTime, hours, type WeirError } from '../kernel/index.js'
import { count, type OperatorSpec } from '../operators/index.js'
import { RecordError } from '../schemas/avro/index.js'
import { f64Codec, intCodec, type StateCodec, type ValueState } from '../state/index.js'
import { describeMermaid, describeText } from './describe.js'
import { modelNamed, type Topology, topology } from './dsl.js'
import { json, toJson } from './formats.js'
import { compile, describeSteps } from './plan.js'

interface Payment {
  readonly who: string
  readonly atMs: number
}

const payment = json<Payment>('payment', value => value as Payment)
const out = toJson<unknown>('any', () => '')
const from = (app: Topology, topic = 'payments', role: 'control' | 'labels' | 'data' = 'data') =>
  app.source(topic, payment, { eventTime: p => eventTime(p.atMs), role })

function refused(build: (app: Topology) => void): WeirError {
  try {
    const app = topology('wrong')
    build(app)
    compile(app.graph)
  } catch (error) {
    return error as WeirError
  }
  return assert.fail('the topology was taken')
}

describe('a topology is refused', () => {
  it('without a source or a sink', () => {
    assert.equal(refused(() => {}).code, 'EMPTY_TOPOLOGY')
    assert.equal(refused(app => void from(app)).code, 'EMPTY_TOPOLOGY')
  })

  for (const name of ['', 'Upper', '1st', 'a b', 'a_b', 'a'.repeat(61), 'ä', '-a', '__proto__']) {
    it(`with the step name ${JSON.stringify(name)}`, () => {
      assert.equal(refused(app => from(app).filter(name, () => true)).code, 'INVALID_STEP_NAME')
    })
  }

  it('with two steps of one name', () => {
    const error = refused(app =>
      from(app)
        .filter('twice', () => true)
        .filter('twice', () => true),
    )
    assert.equal(error.code, 'DUPLICATE_STEP')
  })

  it('with two sinks to one topic, and says what to do', () => {
    const error = refused(app => {
      const payments = from(app)
      payments.to('out', out)
      payments.filter('some', () => true).to('out', out)
    })
    assert.equal(error.code, 'DUPLICATE_STEP')
    assert.match(error.message, /two sinks write to 'out'; merge/)
  })

  it('with one feature from two steps', () => {
    const error = refused(app => {
      const keyed = from(app).keyBy('by-who', p => p.who)
      keyed.velocity('one', {}, { n: count().over(days(1)) }).velocity('two', {}, { n: count().over(days(2)) })
      keyed.to('out', out)
    })
    assert.equal(error.code, 'DUPLICATE_FEATURE')
  })

  it('with two scores: a row carries one', () => {
    const error = refused(app => {
      const model = modelNamed('m')
      from(app).score('first', { model }).score('second', { model }).to('out', out)
    })
    assert.equal(error.code, 'SECOND_SCORE')
  })

  it('with state behind a score, also a branch away', () => {
    const error = refused(app => {
      const scored = from(app).score('model', { model: modelNamed('m') })
      scored
        .filter('some', () => true)
        .keyBy('by-who', p => p.who)
        .velocity('late', {}, { n: count().over(days(1)) })
        .to('out', out)
    })
    assert.equal(error.code, 'STATE_AFTER_SCORE')
  })

  it('with state on a key that a new value has lost', () => {
    const spec: OperatorSpec = {
      kind: 'own',
      stateful: true,
      features: [],
      parameters: {},
      create: () => assert.fail(),
    }
    const error = refused(app =>
      from(app)
        .keyBy('by-who', p => p.who)
        .map('other', p => p.who.length)
        .via('own', spec)
        .to('out', out),
    )
    assert.equal(error.code, 'UNKEYED_STATE')
  })
})

describe('the plan', () => {
  it('takes sources in the order of their rank, then of their declaration', () => {
    const app = topology('ranks')
    from(app, 'b').to('out', out)
    from(app, 'labels', 'labels')
    from(app, 'a')
    from(app, 'control', 'control')
    assert.deepEqual(
      compile(app.graph).sources.map(source => source.topic),
      ['control', 'labels', 'b', 'a'],
    )
  })

  it('keeps the key behind what hands rows on, and takes the nearest one', () => {
    const app = topology('keys')
    from(app)
      .keyBy('by-time', p => String(p.atMs))
      .keyBy('by-who', p => p.who)
      .filter('some', () => true)
      .velocity('spending', {}, { n: count().over(days(1)) })
      .to('out', out)
    const [keyOf] = compile(app.graph).keys.get('spending') ?? []
    assert.equal(keyOf?.({ who: 'anna', atMs: 7 }), 'anna')
  })

  it('ends its stateful part behind the last step with state', () => {
    const app = topology('end')
    from(app)
      .keyBy('by-who', p => p.who)
      .velocity('spending', {}, { n: count().over(days(1)) })
      .score('model', { model: modelNamed('m') })
      .to('out', out)
    const { steps, statefulEnd, featureNames, modelNames } = compile(app.graph)
    assert.equal(steps[statefulEnd - 1]?.name, 'spending')
    assert.deepEqual(featureNames, ['n'])
    assert.deepEqual(modelNames, ['m'])
  })
})

describe('the fingerprint', () => {
  const spending = (step: string, window = days(1), outOfOrderness = hours(1)): string => {
    const app = topology('app')
    app
      .source('payments', payment, { eventTime: p => eventTime(p.atMs), outOfOrderness })
      .keyBy('by-who', p => p.who)
      .velocity(step, {}, { n: count().over(window) })
      .to('out', out)
    return compile(app.graph).fingerprint
  }

  it('is that of the same declaration, and of no other', () => {
    assert.equal(spending('a'), spending('a'))
    const others = [spending('b'), spending('a', days(2)), spending('a', days(1), hours(2))]
    assert.equal(new Set([spending('a'), ...others]).size, 4)
  })
})

describe('the fingerprint of a step with state of its own', () => {
  const remembering = (
    name: string,
    codec: StateCodec<number>,
    more: { parameters?: Record<string, unknown> } = {},
  ) => {
    const app = topology('app')
    from(app)
      .keyBy('by-who', p => p.who)
      .process<number, ValueState<number>>('own', {
        state: factory => factory.value(name, codec),
        create: () => ({ onRecord: () => true }),
        ...more,
      })
      .to('out', out)
    return compile(app.graph).fingerprint
  }

  it('sees names, codecs and their versions, and parameters', () => {
    const one = remembering('n', intCodec)
    assert.equal(remembering('n', intCodec), one)
    assert.notEqual(remembering('m', intCodec), one)
    assert.notEqual(remembering('n', f64Codec), one)
    assert.notEqual(remembering('n', { ...intCodec, version: 2 }), one)
    assert.notEqual(remembering('n', intCodec, { parameters: { limit: 3 } }), one)
  })

  it('is taken without using the state', () => {
    const error = refused(app =>
      from(app)
        .keyBy('by-who', p => p.who)
        .process('own', {
          state: factory => factory.value('n', intCodec).get(),
          create: () => ({ onRecord: () => true }),
        })
        .to('out', out),
    )
    assert.match(error.message, /state is declared here, and used in create/)
  })
})

describe('a description', () => {
  const app = topology('described')
  from(app)
    .keyBy('by-who', p => p.who)
    .velocity('spending', {}, { n_1day: count().over(days(1)) })
    .to('alerts.v1', out)

  it('as text names steps, kinds, inputs and features', () => {
    const lines = describeText(compile(app.graph)).split('\n')
    assert.equal(lines[0], 'topology described')
    assert.match(lines[3] ?? '', /^ {2}spending +velocity +<- by-who$/)
    assert.match(lines[4] ?? '', /^ +n_1day$/)
    assert.match(lines[5] ?? '', /^ {2}to-alerts\.v1 +sink +<- spending$/)
  })

  it('as mermaid has a node for each step and an edge for each input', () => {
    const text = describeMermaid(compile(app.graph))
    assert.equal(text.split('\n').filter(line => line.includes('-->')).length, 3)
    for (const { step } of describeSteps(app.graph.nodes)) assert.ok(text.includes(step), step)
  })
})

describe('JSON', () => {
  const decode = (text: string): unknown => {
    const bytes = Buffer.from(`xx${text}xx`)
    return payment.decode(bytes, 2, bytes.length - 2)
  }

  it('in: a value, or the reason why there is none', () => {
    assert.deepEqual(decode('{"who":"anna","atMs":1}'), { who: 'anna', atMs: 1 })
    for (const text of ['', '{', 'null']) assert.ok(decode(text) instanceof RecordError, text)
  })

  it('out: values back to back, each followed by a line feed, one buffer for all epochs', () => {
    const encoder = toJson<{ n: string }>('n', value => value.n).encoder()
    const egress = { nowMs: 0, timingsUs: null }
    const values = [{ n: 'a' }, { n: 'ü'.repeat(20_000) }, { n: 'c' }]
    for (let epoch = 0; epoch < 2; epoch++) {
      encoder.reset()
      for (const value of values) encoder.append(value, eventTime(0), egress)
      const { count: records, bytes, valueStart, valueEnd, keys } = encoder.encoded()
      assert.equal(records, 3)
      assert.deepEqual(
        keys,
        values.map(value => value.n),
      )
      values.forEach((value, i) => {
        assert.deepEqual(JSON.parse(bytes.toString('utf8', valueStart[i], valueEnd[i])), value)
        assert.equal(bytes[valueEnd[i]!], 0x0a)
      })
      const [left, right] = [createHash('sha256'), createHash('sha256').update(bytes)]
      encoder.hashInto(left)
      assert.equal(left.digest('hex'), right.digest('hex'))
    }
  })

  it('out: refuses what has no JSON form', () => {
    const encoder = toJson<unknown>('any', () => '').encoder()
    assert.throws(() => encoder.append(undefined, eventTime(0), { nowMs: 0, timingsUs: null }), /no JSON form/)
  })
})
