import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { kafkaMissing } from '../services/index.js'
import { runChaos } from './rounds.js'

const skip = (await kafkaMissing()) ?? false

/** The short form of `npm run chaos`: every kind of fault once. */
describe('exactly once on Kafka through faults', { skip }, () => {
  for (const { brokers, perSecond, standbys, rounds } of [
    { brokers: 1, perSecond: 500, standbys: 0, rounds: 10 },
    { brokers: 3, perSecond: 200, standbys: 0, rounds: 10 },
    { brokers: 1, perSecond: 500, standbys: 1, rounds: 10 },
  ] as const) {
    const how = `with three workers, ${brokers} broker(s) and ${standbys} standby(s)`
    it(`${how} loses, doubles, reorders and miscounts nothing`, async t => {
      const say = (line: string): void => t.diagnostic(line)
      const { verdict, ended, sent } = await runChaos({
        rounds,
        brokers,
        workers: 3,
        perSecond,
        partitions: 4,
        slots: 1,
        standbys,
        seed: 1,
        say,
      })
      const { lost, duplicated, outOfOrder, wrong } = verdict
      // Counted first: of long lists a message shows the beginning only.
      const found = Object.entries({ lost, duplicated, outOfOrder, wrong, ended })
      const said = found.map(([what, which]) => `${what} ${which.length} ${which.slice(0, 5).join(', ')}`)
      assert.ok(
        found.every(([, which]) => which.length === 0),
        said.join('; '),
      )
      assert.ok(verdict.transactions > 1_000 && verdict.decisions === verdict.transactions, `${sent} sent`)
      assert.ok(verdict.owners > 1, 'a slot changed its owner')
    })
  }
})
