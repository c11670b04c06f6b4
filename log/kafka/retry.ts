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
const briefAttemptsMax = 200

/** The pause after the nth attempt in a row, from 0. */
export const pauseAfter = (attempt: number): DurationMs => millis(Math.min(pauseMsMax, 10 * 2 ** Math.min(attempt, 10)))

/** Pauses between attempts, and counts them. */
export class Patience {
  readonly #settings: KafkaSettings
  #brief = 0
  #attempts = 0

  constructor(settings: KafkaSettings) {
    this.#settings = settings
  }

  /**
   * Resolves after a pause, with false at once when the attempts are used up.
   * @param brief what is refused will be over in a moment. Kafka's clients answer CONCURRENT_TRANSACTIONS with pauses of
   *   20 to 300 ms, which would be the length of a commit: a millisecond is what markers take
   */
  async again(brief: boolean): Promise<boolean> {
    const { clock, limits } = this.#settings
    if (brief && this.#brief < briefAttemptsMax) {
      this.#brief++
      await clock.sleep(millis(1))
      return true
    }
    if (this.#attempts + 1 >= limits.attemptsMax) return false
    await clock.sleep(pauseAfter(this.#attempts++))
    return true
  }
}

/**
 * Calls `work` until it does not throw a TemporaryError or lose its connection; only for what may be done twice.
 * @throws WeirError KAFKA_UNAVAILABLE past the bound
 */
export async function retried<T>(settings: KafkaSettings, what: string, work: () => Promise<T>): Promise<T> {
  const patience = new Patience(settings)
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof TemporaryError) && !(error instanceof ConnectionLost)) throw error
      const brief = error instanceof TemporaryError && error.brief
      if (!(await patience.again(brief))) throw new WeirError('KAFKA_UNAVAILABLE', `${what}: ${error.message}`)
    }
  }
}
