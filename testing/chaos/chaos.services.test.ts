import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { kafkaMissing } from '../services/index.js'
import { runChaos } from './rounds.js'

const skip = (await kafkaMissing()) ?? false

/** The short form of `npm run chaos`: every kind of fault once. */
describe('exactly once on Kafka through faults', { skip }, () => {
  for (const { brokers, perSecond } of [
    { brokers: 1, perSecond: 500 },
    { brokers: 3, perSecond: 200 },
  ] as const) {
    it(`with three workers and ${brokers} broker(s) loses, doubles, reorders and miscounts nothing`, async t => {
      const say = (line: string): void => t.diagnostic(line)
      const { verdict, ended, sent } = await runChaos({
        rounds: 10,
        brokers,
        workers: 3,
        perSecond,
        partitions: 4,
        slots: 1,
        seed: 1,
        say,
      })
      const { lost, duplicated, outOfOrder, wrong } = verdict
      assert.deepEqual(
        { lost, duplicated, outOfOrder, wrong, ended },
        {
          lost: [],
          duplicated: [],
          outOfOrder: [],
          wrong: [],
          ended: [],
        },
      )
      assert.ok(verdict.transactions > 1_000 && verdict.decisions === verdict.transactions, `${sent} sent`)
      assert.ok(verdict.owners > 1, 'a slot changed its owner')
    })
  }
})
