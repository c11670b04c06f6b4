import { setTimeout as sleep } from 'node:timers/promises'
import { type ErrorCode, isWeirError } from '../../kernel/index.js'

const pauseMsMin = 200
const pauseMsMax = 5_000

const passing: ReadonlySet<ErrorCode> = new Set(['KAFKA_UNAVAILABLE', 'REGISTRY_UNREACHABLE', 'PLAN_CLOSED'])

/**
 * Opens what needs Kafka and the schema registry. While they do not answer it tries again; whatever else is wrong ends it: an
 * operator has to act.
 * @param onWaiting told after each try in vain, with its reason
 * @returns undefined once the signal is aborted
 * @throws WeirError that needs an operator
 */
export async function openPatiently<T>(
  open: () => Promise<T>,
  onWaiting: (reason: string) => void,
  signal: AbortSignal,
): Promise<T | undefined> {
  for (let pauseMs = pauseMsMin; !signal.aborted; pauseMs = Math.min(pauseMs * 2, pauseMsMax)) {
    try {
      return await open()
    } catch (error) {
      if (!isWeirError(error) || !passing.has(error.code)) throw error
      onWaiting(`${error.code}: ${error.what}`)
      // The next plan is near: whoever sends in records waits for it.
      if (error.code === 'PLAN_CLOSED') pauseMs = pauseMsMin
    }
    // An abort ends the pause.
    await sleep(pauseMs, undefined, { signal }).catch(() => {})
  }
  return undefined
}
