/** The fraud topology as a plan: what one slot runs must not change by accident, and where several slots part. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { compile, type SourceFormat } from '../topology/index.js'
import { defaultTopology } from './topology.js'

/** Bytes are wired elsewhere: here only names matter. */
const records = (name: string): SourceFormat<never> => ({ name, decode: () => null })
const { graph } = defaultTopology({ transactions: records('transactions'), labels: records('labels') })

describe('the fraud topology', () => {
  it('has the fingerprint that journals of one slot carry', () => {
    assert.equal(compile(graph).fingerprint, '9c7e93343e9e942cead6b827a3de334f')
  })

  it('is cut in front of the terminal and in front of the model, and re-keys transactions alone', () => {
    const plan = compile(graph, { slots: 3, partitions: 12 })
    assert.deepEqual(
      plan.hops.map(({ topic, route, partitions, format }) => [
        topic,
        route,
        partitions,
        ...format.codecs.map(c => c.name),
      ]),
      [
        ['weir.fraud.transactions.rekeyed', 'rekey', 12, 'transaction'],
        ['weir.fraud.terminal.repartition', 'key', 12, 'transaction', 'label'],
        ['weir.fraud.model.repartition', 'home', 12, 'transaction'],
      ],
    )
    const order = plan.steps.map(step => step.name)
    const before = (a: string, b: string): void => assert.ok(order.indexOf(a) < order.indexOf(b), `${a} before ${b}`)
    before('customer', 'terminal.number')
    before('terminal', 'to-model.repartition')
    before('model.resequence', 'policy')
  })

  it('keeps the names of its state, whatever the number of slots', () => {
    const stateful = (slots: number): string[] => [...compile(graph, { slots, partitions: 12 }).keys.keys()]
    assert.deepEqual(stateful(3), stateful(1))
  })
})
