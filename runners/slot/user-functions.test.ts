/** Functions that a topology is made of may throw anywhere: the record is a dead letter, and the slot goes on (I7). */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { days, eventTime } from '../../kernel/index.js'
import { count } from '../../operators/index.js'
import { intCodec, type ValueState } from '../../state/index.js'
import { TopologyDriver } from '../../testing/index.js'
import { json, type Stream, type Topology, toJson, topology } from '../../topology/index.js'

interface Payment {
  readonly who: string
  readonly atMs: number
}

const atMs = Date.UTC(2024, 0, 1)
const good = { who: 'anna', atMs }

function from(app: Topology, eventTimeOf = (p: Payment) => p.atMs): Stream<Payment> {
  const format = json<Payment>('payment', value => value as Payment)
  return app.source('in', format, { eventTime: p => eventTime(eventTimeOf(p)) })
}

const plain = toJson<Payment>('payment', () => '')

const counted = (stream: Stream<Payment>, keyOf: (p: Payment) => string): void =>
  stream
    .keyBy('by-who', keyOf)
    .velocity('spending', {}, { n: count().over(days(1)) })
    .to('out', plain)

/** Sends good, bad, good; @returns codes and messages of the dead letters, when exactly the bad one is among them */
async function letterOf(build: (app: Topology) => void, bad: unknown): Promise<{ code: string; message: string }> {
  const app = topology('users')
  build(app)
  await using driver = await TopologyDriver.start(app)
  await driver.send('in', [good, bad, good])
  assert.deepEqual(await driver.read('out'), [good, good])
  const letters = await driver.deadLetters()
  assert.equal(letters.length, 1)
  // and again, from the journal
  await driver.crash()
  await driver.send('in', [good])
  assert.equal((await driver.read('out')).length, 3)
  assert.equal((await driver.deadLetters()).length, 1)
  return letters[0]!
}

describe('a record', () => {
  it('whose event time throws', async () => {
    const eventTimeOf = (p: Payment): number => {
      if (p.who === 'bad') throw new Error('no time')
      return p.atMs
    }
    const letter = await letterOf(app => from(app, eventTimeOf).to('out', plain), { who: 'bad', atMs })
    assert.deepEqual([letter.code, letter.message], ['OPERATOR_EXCEPTION', "source 'in' threw: no time"])
  })

  for (const time of [undefined, null, '2024', 1.5, 1e300]) {
    it(`whose event time is ${JSON.stringify(time)}`, async () => {
      const letter = await letterOf(app => from(app).to('out', plain), { who: 'bad', atMs: time })
      assert.equal(letter.code, 'INVALID_EVENT_TIME')
    })
  }

  it('that is null', async () => {
    assert.equal((await letterOf(app => from(app).to('out', plain), null)).code, 'MALFORMED_RECORD')
  })

  it('whose key throws', async () => {
    const letter = await letterOf(app => counted(from(app), p => p.who.trim()), { atMs })
    assert.match(letter.message, /step 'spending' threw: .*trim/)
  })

  for (const who of [undefined, null, 5, {}]) {
    it(`whose key is ${JSON.stringify(who)}`, async () => {
      const letter = await letterOf(app => counted(from(app), p => p.who), { who, atMs })
      assert.match(letter.message, /the key is \w+, not a string/)
    })
  }

  it('whose key is too long for the state store', async () => {
    const longest = 'k'.repeat(65_535)
    const letter = await letterOf(app => counted(from(app), p => p.who), { who: `${longest}k`, atMs })
    assert.match(letter.message, /STATE_KEY_TOO_LONG/)
    const app = topology('longest')
    counted(from(app), p => p.who)
    await using driver = await TopologyDriver.start(app)
    await driver.send('in', [{ who: longest, atMs }])
    assert.equal((await driver.read('out')).length, 1)
  })

  it('that makes state which its codec does not take', async () => {
    const build = (app: Topology): void =>
      from(app)
        .keyBy('by-who', p => p.who)
        .process<Payment, ValueState<number>>('last', {
          state: factory => factory.value('ms', intCodec),
          create: ({ state }) => ({
            onRecord(p, _, out) {
              state.set(p.who === 'bad' ? Number.NaN : p.atMs)
              return out.emit(p)
            },
          }),
        })
        .to('out', plain)
    const letter = await letterOf(build, { who: 'bad', atMs })
    assert.match(letter.message, /step 'last' threw: state 'ms': int does not take number NaN/)
  })

  it('that cannot be encoded', async () => {
    const build = (app: Topology): void =>
      from(app)
        .map('maybe', p => (p.who === 'bad' ? undefined : p))
        .to(
          'out',
          toJson('payment', () => ''),
        )
    assert.match((await letterOf(build, { who: 'bad', atMs })).message, /step 'to-out' threw: .*no JSON form/)
  })

  it('whose output key throws', async () => {
    const keyed = toJson<Payment>('payment', p => p.who.trim())
    assert.match((await letterOf(app => from(app).to('out', keyed), { atMs })).message, /step 'to-out' threw/)
  })

  it('that the decision cannot say about whether it needs reasons', async () => {
    const build = (app: Topology): void =>
      from(app)
        .decide<Payment>('policy', {
          parameters: {},
          bind: () => ({ needsImpacts: ({ value }) => value.who.trim() === '', decide: ({ value }) => value }),
        })
        .to('out', plain)
    assert.match((await letterOf(build, { atMs })).message, /step 'policy' threw/)
  })
})
