/**
 * The end of a plan, as a slot sees it (docs/decisions/0016): marks, epochs that read nothing and run nothing.
 *
 * Invariants: 1. once a mark has said that the plan ends, whoever runs the slot reads hops alone, so that what is under way
 * comes to its end and nothing is added; 2. a slot is closed only when all slots have said so and nothing is under way in
 * any: then no record is left that a closed slot would have to read.
 */
import type { Log } from '../../log/index.js'
import type { Plan } from '../../topology/index.js'
import { hashOutputs } from './egress.js'
import type { Closing, EpochRecord } from './journal.js'
import type { SlotOptions } from './options.js'
import type { Running } from './running.js'

/** Rows that have left for other slots and are not back in their order. */
export const inFlight = (counts: ReadonlyMap<string, number>): number =>
  (counts.get('sequenced') ?? 0) - (counts.get('resequenced') ?? 0)

/** The next epoch, which changes nothing but what it says of the plan; null: the plan goes on after all. */
export function markOf(running: Running, { plan, planNumber = 1 }: SlotOptions, closes: Closing | null): EpochRecord {
  const [watermark_ms = null] = running.watermarks.slice(-1).map(finiteOrNull)
  return {
    v: 3,
    kind: 'epoch',
    plan: planNumber,
    slots: plan.placement.slots,
    epoch: running.epoch + 1,
    generation: running.generation,
    fingerprint: plan.fingerprint,
    inputs: [],
    positions: [...running.positions.values()],
    excluded: [],
    clocks: running.clocks.current(),
    watermark_ms,
    ...(plan.stages > 1 && { stages_ms: running.watermarks.map(finiteOrNull) }),
    expiry_ms: null,
    counts: Object.fromEntries(running.counts),
    outputs_sha256: hashOutputs([], [], []),
    closes,
    previous: running.hash,
  }
}

/** Nothing of its own is under way, and it has read all that was sent to it as of the call. */
export async function hasDrained(running: Running, log: Log, plan: Plan): Promise<boolean> {
  if (inFlight(running.counts) > 0) return false
  const hops = new Set(plan.hops.map(({ topic }) => topic))
  for (const at of running.reader.positions()) {
    if (hops.has(at.topic) && at.offset < (await log.range(at)).latest) return false
  }
  return true
}

export const finiteOrNull = (at: number): number | null => (Number.isFinite(at) ? at : null)
