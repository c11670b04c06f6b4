/** Trying again what was refused for a moment, within a bound (I6). */
import { type DurationMs, millis, WeirError } from '../../kernel/index.js'
import type { KafkaSettings } from './options.js'

/** Nothing was done; the same may be asked again. */
export class TemporaryError extends Error {
  /** It will be over in a millisecond: the markers of the last transaction are being written. */
  readonly brief: boolean

  constructor(message: string, brief = false) {
    super(message)
    this.name = 'TemporaryError'
    this.brief = brief
  }
}

/** The connection broke: what was asked over it may or may not have happened. */
export class ConnectionLost extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ConnectionLost'
  }
}

const pauseMsMax = 1_000
/** As many pauses of one millisecond come before those that grow. */
const briefAttempts = 200

/**
 * The pause after attempt number `attempt` (from 0). Kafka's clients answer CONCURRENT_TRANSACTIONS with pauses of 20 to
 * 300 ms, which would be the length of a commit: a millisecond is what markers take.
 */
export function pauseAfter(attempt: number, brief: boolean): DurationMs {
  if (brief && attempt < briefAttempts) return millis(1)
  const grown = brief ? attempt - briefAttempts : attempt
  return millis(Math.min(pauseMsMax, 10 * 2 ** Math.min(grown, 10)))
}

export const attemptsAllowed = (settings: KafkaSettings, brief: boolean): number =>
  settings.limits.attemptsMax + (brief ? briefAttempts : 0)

/**
 * Calls `work` until it does not throw a TemporaryError or lose its connection; only for what may be done twice.
 * @throws WeirError KAFKA_UNAVAILABLE past the bound
 */
export async function retried<T>(settings: KafkaSettings, what: string, work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof TemporaryError) && !(error instanceof ConnectionLost)) throw error
      const brief = error instanceof TemporaryError && error.brief
      if (attempt + 1 >= attemptsAllowed(settings, brief)) {
        throw new WeirError('KAFKA_UNAVAILABLE', `${what}: ${error.message}`)
      }
      await settings.clock.sleep(pauseAfter(attempt, brief))
    }
  }
}
