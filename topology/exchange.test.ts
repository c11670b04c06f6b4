/** Where a plan for several slots is cut, and where it is not. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { days, eventTime, type WeirError } from '../kernel/index.js'
import { count } from '../operators/index.js'
import { intCodec, type ValueState } from '../state/index.js'
import { commitsOf, describeHops, describeMermaid, describeText } from './describe.js'
import { type KeyedStream, modelNamed, type Stream, type Topology, topology } from './dsl.js'
import { json, toJson } from './formats.js'
import { compile, type Plan } from './plan.js'

interface Payment {
  readonly who: string
  readonly shop: string
  readonly bank: string
  readonly atMs: number
}

const payment = json<Payment>('payment', value => value as Payment)
const out = toJson<unknown>('any', () => '')
const several = { slots: 3, partitions: 6 }

function source(app: Topology, topic = 'payments', partitioned = true): Stream<Payment> {
  const byWho = partitioned ? { partitionedBy: { key: 'who', keyOf: (p: Payment) => p.who } } : {}
  return app.source(topic, payment, { eventTime: p => eventTime(p.atMs), ...byWho })
}

const counted = <T extends Stream<Payment, string>>(stream: KeyedStream<Payment, string>, name: string): T =>
  stream.velocity(name, {}, { [`n_${name}`]: count().over(days(1)) }) as unknown as T

const byWho = (stream: Stream<Payment, string>, name: string) =>
  counted<Stream<Payment, string>>(
    stream.keyBy(`${name}-key`, p => p.who, 'who'),
    name,
  )
const byShop = (stream: Stream<Payment, string>, name: string) =>
  counted<Stream<Payment, string>>(
    stream.keyBy(`${name}-key`, p => p.shop, 'shop'),
    name,
  )
const byBank = (stream: Stream<Payment, string>, name: string) =>
  counted<Stream<Payment, string>>(
    stream.keyBy(`${name}-key`, p => p.bank, 'bank'),
    name,
  )
const scored = (stream: Stream<Payment, string>): void =>
  stream.score('model', { model: modelNamed('m') }).to('out', out)

function plan(build: (app: Topology) => void, placement = several): Plan {
  const app = topology('app')
  build(app)
  return compile(app.graph, placement)
}

const hopsOf = ({ hops }: Plan): string[] => hops.map(hop => `${hop.route} ${hop.topic}`)
const stepsOf = ({ steps }: Plan): string[] => steps.map(step => step.name)

describe('a plan of several slots', () => {
  it('sends nothing where everything is keyed as the topic is', () => {
    const { stages, ...rest } = plan(app => scored(byWho(byWho(source(app), 'one'), 'two')))
    assert.deepEqual(hopsOf({ stages, ...rest }), ['rekey weir.app.payments.rekeyed'])
    assert.equal(stages, 2)
  })

  it('goes to the keys of a step, and back in front of the score', () => {
    const cut = plan(app => scored(byShop(byWho(source(app), 'one'), 'shop')))
    assert.deepEqual(hopsOf(cut), [
      'rekey weir.app.payments.rekeyed',
      'key weir.app.shop.repartition',
      'home weir.app.model.repartition',
    ])
    const steps = stepsOf(cut)
    const inOrder = ['one', 'shop.number', 'shop', 'model.answer', 'model.resequence', 'model', 'to-out']
    assert.deepEqual(
      steps.filter(step => inOrder.includes(step)),
      inOrder,
    )
    assert.equal(cut.steps[cut.statefulEnd - 1]?.name, 'model.resequence')
    assert.equal(commitsOf(cut), 3)
  })

  it('stays away for a second step of the same key', () => {
    const cut = plan(app => scored(byShop(byShop(source(app), 'one'), 'two')))
    assert.deepEqual(hopsOf(cut), ['key weir.app.one.repartition', 'home weir.app.model.repartition'])
  })

  it('does not re-key what no step here relies on', () => {
    assert.ok(!stepsOf(plan(app => scored(byShop(source(app), 'shop')))).some(step => step.startsWith('payments.')))
  })

  it('comes home in front of a step with the key of home, which may leave again', () => {
    const cut = plan(app => scored(byShop(byWho(byShop(source(app), 'one'), 'two'), 'three')))
    assert.deepEqual(hopsOf(cut), [
      'rekey weir.app.payments.rekeyed',
      'key weir.app.one.repartition',
      'home weir.app.two.repartition',
      'key weir.app.three.repartition',
      'home weir.app.model.repartition',
    ])
    assert.ok(stepsOf(cut).includes('three.number'))
    assert.equal(commitsOf(cut), 5)
  })

  it('goes from key to key, and accounts on the way for what it does not send on', () => {
    const cut = plan(app => scored(byBank(byShop(source(app), 'shop'), 'bank')))
    assert.deepEqual(hopsOf(cut), [
      'key weir.app.shop.repartition',
      'key weir.app.bank.repartition',
      'home weir.app.model.repartition',
    ])
    assert.deepEqual(cut.hops.at(-1)?.inputs, ['model.answer', 'bank.skips'])
    assert.deepEqual(cut.hops[1]?.inputs, ['bank.leaving'])
  })

  it('numbers nothing that nobody puts in order', () => {
    const cut = plan(app => byBank(byShop(source(app), 'shop'), 'bank').to('out', out))
    assert.deepEqual(hopsOf(cut), ['key weir.app.shop.repartition', 'key weir.app.bank.repartition'])
    assert.deepEqual(
      stepsOf(cut).filter(step => /number|answer|skips|leaving|resequence/.test(step)),
      [],
    )
    assert.deepEqual(cut.hops[1]?.inputs, ['bank-key'])
  })

  it('trusts no partition that nobody has declared', () => {
    const cut = plan(app => scored(byWho(source(app, 'payments', false), 'one')))
    assert.deepEqual(hopsOf(cut), ['key weir.app.one.repartition', 'home weir.app.model.repartition'])
  })

  it('takes the side input along through the same hop, and leaves one that is there', () => {
    const joined = (partitioned: boolean): Plan =>
      plan(app => {
        const labels = app.source('labels', payment, {
          eventTime: p => eventTime(p.atMs),
          role: 'labels',
          ...(partitioned && { partitionedBy: { key: 'shop', keyOf: (p: Payment) => p.shop } }),
        })
        const shops = labels.keyBy('labels-by-shop', p => p.shop, 'shop')
        const identity = [(p: Payment) => p.who]
        const label = { identity, eventTime: (p: Payment) => p.atMs, availableAt: () => 0, fraud: () => true }
        const keyed = source(app).keyBy('shop-key', p => p.shop, 'shop')
        scored(keyed.velocity('shop', {}, { n: count().over(days(1)) }, { labels: { stream: shops, identity, label } }))
      })
    assert.deepEqual(joined(false).hops[0]?.inputs, ['shop.number', 'labels-by-shop'])
    assert.deepEqual(joined(true).hops.at(-2)?.inputs, ['shop.number'])
    assert.deepEqual(hopsOf(joined(true))[0], 'rekey weir.app.labels.rekeyed')
  })

  it('brings the main input home and sends the side input by its key, through topics of their own', () => {
    const cut = plan(app => {
      const labels = app.source('labels', payment, { eventTime: p => eventTime(p.atMs), role: 'labels' })
      const identity = [(p: Payment) => p.shop]
      const label = { identity, eventTime: (p: Payment) => p.atMs, availableAt: () => 0, fraud: () => true }
      const stream = labels.keyBy('labels-by-who', p => p.who, 'who')
      scored(
        byShop(source(app), 'shop')
          .keyBy('who-key', p => p.who, 'who')
          .velocity('who', {}, { n: count().over(days(1)) }, { labels: { stream, identity, label } }),
      )
    })
    assert.deepEqual(hopsOf(cut), [
      'rekey weir.app.payments.rekeyed',
      'key weir.app.shop.repartition',
      'home weir.app.who.repartition',
      'key weir.app.who-sides.repartition',
    ])
    const who = cut.steps.find(step => step.name === 'who')
    assert.deepEqual(who?.kind === 'operator' && who.inputs, ['who.resequence', 'who-sides.port-1'])
  })

  it('carries values by the codec of their stream, or else as JSON', () => {
    const remembered = (stream: Stream<number>): void =>
      stream
        .keyBy('number-key', n => String(n % 3))
        .process<number, ValueState<number>>('sum', {
          state: factory => factory.value('n', intCodec),
          create: () => ({ onRecord: () => true }),
        })
        .to('out', out)
    const codecs = (build: (app: Topology) => void): string[] =>
      plan(build).hops[0]!.format.codecs.map(codec => codec.name)
    assert.deepEqual(
      codecs(app =>
        remembered(
          source(app)
            .map('time', p => p.atMs)
            .filter('even', n => n % 2 === 0),
        ),
      ),
      ['json'],
    )
    assert.deepEqual(
      codecs(app =>
        remembered(
          source(app)
            .map('time', p => p.atMs)
            .codec(intCodec)
            .filter('even', n => n % 2 === 0),
        ),
      ),
      ['int'],
    )
  })

  it('refuses to put in order what has come by different ways', () => {
    const refused = (build: (app: Topology) => void): string | undefined => {
      try {
        plan(build)
        return undefined
      } catch (error) {
        return (error as WeirError).code
      }
    }
    assert.equal(
      refused(app => {
        const all = source(app)
        scored(byShop(all, 'shop').merge('both', all))
      }),
      'HOP_PATHS',
    )
    assert.equal(
      refused(app => scored(byShop(source(app), 'shop').filter('shop.number', () => true))),
      'DUPLICATE_STEP',
    )
  })

  it('has another fingerprint than that of one slot, and the same for any number of several', () => {
    const build = (app: Topology): void => scored(byShop(byWho(source(app), 'one'), 'shop'))
    const of = (slots: number): string => plan(build, { slots, partitions: 6 }).fingerprint
    assert.notEqual(of(1), of(2))
    assert.equal(of(2), of(3))
  })
})

describe('a plan of one slot', () => {
  it('is the graph itself, whatever it says of partitions, keys and codecs', () => {
    const bare = topology('app')
    const keyed = bare.source('payments', payment, { eventTime: p => eventTime(p.atMs) }).keyBy('one-key', p => p.who)
    keyed.velocity('one', {}, { n_one: count().over(days(1)) }).to('out', out)
    const declared = topology('app')
    byWho(source(declared), 'one').to('out', out)
    const [left, right] = [compile(bare.graph), compile(declared.graph, { slots: 1, partitions: 9 })]
    assert.deepEqual(stepsOf(right), ['payments', 'one-key', 'one', 'to-out'])
    assert.equal(right.fingerprint, left.fingerprint)
    assert.equal(right.fingerprint, 'af78d357418e13e18609576edef56ef8')
    assert.deepEqual([right.hops, right.stages], [[], 1])
  })
})

describe('a description of hops', () => {
  const cut = plan(app => scored(byShop(byWho(source(app), 'one'), 'shop')))

  it('as text names each topic and what it costs', () => {
    const text = describeText(cut)
    for (const hop of describeHops(cut)) {
      assert.ok(text.includes(hop.topic) && text.includes(hop.why))
      assert.match(hop.why, /^\+1 commit/)
    }
    assert.match(text, /is committed 3 times/)
    assert.equal(
      describeText(plan(app => scored(byShop(source(app), 'shop')), { slots: 1, partitions: 1 })).includes('hops,'),
      false,
    )
  })

  it('as mermaid has an edge for each input of each hop, and no name that mermaid cannot take', () => {
    const lines = describeMermaid(cut).split('\n')
    assert.equal(lines.filter(line => line.includes('== "+1 commit" ==>')).length, 3)
    for (const line of lines.filter(line => line.includes('>')).flatMap(line => line.split(/ -->| ==.*==>/))) {
      assert.match(line.trim().split(/[[(]/)[0]!, /^\w*$/)
    }
  })
})
