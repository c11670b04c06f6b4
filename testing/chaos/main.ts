/**
 * `npm run chaos`: exactly once on a real Kafka through killed, frozen and cut-off workers and brokers.
 *
 *   npm run chaos -- --rounds 30 --brokers 1 --rate 2000
 *   npm run chaos -- --rounds 30 --brokers 3 --rate 300
 *   npm run chaos -- --rounds 30 --standbys 1
 */
import { parseArgs } from 'node:util'
import { type FaultName, runChaos } from './rounds.js'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '30' },
    brokers: { type: 'string', default: '1' },
    workers: { type: 'string', default: '3' },
    partitions: { type: 'string', default: '4' },
    slots: { type: 'string', default: '1' },
    standbys: { type: 'string', default: '0' },
    rate: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '0' },
    /** Names, separated by commas; default all. */
    faults: { type: 'string' },
  },
})
const say = (line: string): void => void process.stdout.write(`${line}\n`)
const { verdict, ended } = await runChaos({
  rounds: Number(values.rounds),
  brokers: values.brokers === '3' ? 3 : 1,
  workers: Number(values.workers),
  perSecond: Number(values.rate),
  partitions: Number(values.partitions),
  slots: Number(values.slots),
  standbys: Number(values.standbys),
  seed: Number(values.seed),
  ...(values.faults !== undefined && { faults: values.faults.split(',') as FaultName[] }),
  say,
})
const { lost, duplicated, outOfOrder, wrong } = verdict
say(
  `${verdict.transactions} transactions (and ${verdict.repeats} repeats), ${verdict.decisions} decisions, ${verdict.epochs} epochs, ${verdict.owners} owners`,
)
say(
  `lost ${lost.length}, duplicated ${duplicated.length}, order inversions ${outOfOrder.length}, wrong ${wrong.length}`,
)
for (const line of [...lost, ...duplicated, ...outOfOrder, ...wrong].slice(0, 20)) say(`  ${line}`)
for (const line of ended) say(`a worker ended by itself: ${line}`)
if (lost.length + duplicated.length + outOfOrder.length + wrong.length + ended.length > 0) process.exitCode = 1
