/**
 * `npm run sim -- --seeds 10000 [--from N]`, or `--seed N` for one, `--slots N`, `--standbys 1`: slots over a simulated log, clock and disk;
 * with `--rescale` 1 to 3 slots, and one to three times other ones.
 * Exit code 1 at the first difference, or when a crash point or a fault was hit too rarely to count as tested.
 */
import { parseArgs } from 'node:util'
import { systemClock } from '../../kernel/index.js'
import { crashPoints, exchangeKinds, type FaultKind, faultKinds, Hits, oneSlotKinds, standbyKinds } from './chaos.js'
import { checkpointKinds, checkpointPoints, restorePoints } from './checkpoint-kinds.js'
import { planKinds, planPoints } from './plan-kinds.js'
import { runSeed } from './run-seed.js'

/** In a run of 10,000 seeds; in others in proportion. What needs one owner to hang while another does several things: fewer. */
const hitsMin = 100
const hitsMinOf: Partial<Readonly<Record<string, number>>> = {
  'zombie finds its input trimmed': 20,
  'manifest that lacks segments': 3,
  'retention while another restores': 20,
}
/** With plan changes a slot that lost everything mostly begins again from the savepoint. */
const hitsMinRescaled: typeof hitsMinOf = { 'refused: no checkpoint is whole': 10, 'excluded after it waited': 50 }
const seedsOfHitsMin = 10_000
const progressEveryMs = 5_000

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '0' },
    seed: { type: 'string' },
    slots: { type: 'string' },
    standbys: { type: 'string', default: '0' },
    rescale: { type: 'boolean', default: false },
  },
})
const seeds = values.seed === undefined ? Number(values.seeds) : 1
const from = Number(values.seed ?? values.from)
const { rescale } = values
const slots = Number(values.slots ?? 1)
const standbys = Number(values.standbys)
if (
  !Number.isSafeInteger(slots) ||
  slots < 1 ||
  slots > 8 ||
  (rescale && values.slots !== undefined) ||
  (standbys !== 0 && standbys !== 1) ||
  !Number.isSafeInteger(seeds) ||
  seeds < 1 ||
  !Number.isSafeInteger(from)
) {
  console.error(
    'usage: npm run sim -- --seeds COUNT [--from FIRST] | --seed SEED [--slots SLOTS | --rescale] [--standbys 1]',
  )
  process.exit(2)
}

const hits = new Hits()
const startedMs = systemClock.nowMs()
let reportedMs = startedMs
for (let seed = from; seed < from + seeds; seed++) {
  try {
    await runSeed(seed, hits, { slots: rescale ? undefined : slots, standbys })
  } catch (error) {
    console.error(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`)
    const plans = rescale ? '--rescale' : `--slots ${slots}`
    console.error(`\nagain: npm run sim -- --seed ${seed} ${plans} --standbys ${standbys}`)
    process.exit(1)
  }
  const nowMs = systemClock.nowMs()
  if (nowMs - reportedMs >= progressEveryMs) {
    reportedMs = nowMs
    console.log(`${seed - from + 1} of ${seeds} seeds, ${((nowMs - startedMs) / (seed - from + 1)).toFixed(1)} ms each`)
  }
}

const tookMs = systemClock.nowMs() - startedMs
console.log(`${seeds} seeds from ${from} without a difference, ${(tookMs / seeds).toFixed(1)} ms each\n`)
const several = rescale || slots > 1
const points = [
  ...crashPoints,
  ...checkpointPoints,
  ...restorePoints,
  ...(rescale ? [...planPoints, 'seeding' as const] : []),
]
const of = (kinds: readonly FaultKind[]): readonly FaultKind[] =>
  several ? kinds.filter(kind => !oneSlotKinds.includes(kind)) : kinds
const kinds = [
  ...of(faultKinds).filter(kind => standbys === 0 || kind !== 'log tail lost'),
  ...(several ? exchangeKinds : []),
  ...(standbys === 0 ? [] : of(standbyKinds)),
  ...checkpointKinds,
  ...(rescale ? planKinds : []),
]
for (const what of [
  ...points.map(point => ['crash', point] as const),
  ...kinds.map(kind => ['fault', kind] as const),
]) {
  console.log(`${what[0].padEnd(6)} ${what[1].padEnd(34)} ${String(hits.of(what[1])).padStart(8)}`)
}
const rarer = rescale ? { ...hitsMinOf, ...hitsMinRescaled } : hitsMinOf
const dueOf = (what: string): number => Math.floor(((rarer[what] ?? hitsMin) * seeds) / seedsOfHitsMin)
const rare = [...points, ...kinds].filter(what => hits.of(what) < dueOf(what))
if (rare.length > 0) {
  console.error(`\nhit too rarely: ${rare.map(what => `${what} ${hits.of(what)} of ${dueOf(what)}`).join(', ')}`)
  process.exitCode = 1
}
