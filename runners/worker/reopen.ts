/** `weir rescale --reopen`: a plan whose closing was begun and given up goes on as it was (docs/decisions/0016). */
import { reopenPlan, standingOf } from '../plans/index.js'
import { type CloserSettings, withCloser } from './closer.js'
import type { Rescaled } from './rescale.js'

/**
 * @returns the plan that goes on, and what it was being closed into; no savepoint: it was not, and nothing was done
 * @throws WeirError as `reopenPlan` does: PLAN_CLOSED when a slot is closed already; USAGE, FINGERPRINT_MISMATCH
 */
export function reopen(settings: CloserSettings): Promise<Rescaled> {
  return withCloser(settings, async closer => {
    const { app } = settings
    const { log } = closer
    const standing = await standingOf(log, app)
    const { plan, slots, ends } = standing
    if (ends === undefined) return { plan, slots, savepoint: undefined, pausedMs: 0 }
    const ending = closer.endingPlan(standing, await log.partitionCount('transactions'))
    await closer.withSlots(ending, open => reopenPlan({ log, plan: ending.plan, open }))
    closer.removeStores()
    return { plan, slots, savepoint: ends.savepoint, pausedMs: closer.pausedMs }
  })
}
