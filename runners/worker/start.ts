/**
 * A worker from the first question that it asks Kafka. While Kafka or the schema registry does not answer it waits, and says so;
 * whatever else keeps it from starting ends it: an operator has to act.
 */
import { isWeirError, WeirError } from '../../kernel/index.js'
import { keepRocksDb } from '../../state/index.js'
import { openPatiently } from '../serving/index.js'
import type { SlotInspection } from '../slot/index.js'
import type { SlotStatus, StateQuestion } from './messages.js'
import { openWorker, type WorkerSettings } from './open.js'
import type { SlotWorker } from './worker.js'

export class StartingWorker {
  readonly #settings: WorkerSettings
  #worker: SlotWorker | undefined
  #waitsFor = 'asking Kafka for its topics'

  constructor(settings: WorkerSettings) {
    this.#settings = settings
  }

  get status(): readonly SlotStatus[] {
    return this.#worker?.status ?? []
  }

  /** Why this worker cannot do its part now; empty when it can. */
  notReady(): readonly string[] {
    return this.#worker?.notReady() ?? [this.#waitsFor]
  }

  /** @throws WeirError as SlotWorker.inspect; NOT_READY before there is one */
  async inspect(question: StateQuestion): Promise<SlotInspection> {
    if (this.#worker === undefined) throw new WeirError('NOT_READY', this.#waitsFor)
    return await this.#worker.inspect(question)
  }

  /** Runs until `signal` is aborted. @throws WeirError that needs an operator */
  async run(signal: AbortSignal): Promise<void> {
    const waiting = (reason: string): void => {
      this.#waitsFor = reason
      this.#settings.onEvent({ kind: 'waiting', message: reason })
    }
    keepRocksDb()
    while (!signal.aborted) {
      this.#worker = await openPatiently(() => openWorker(this.#settings), waiting, signal)
      try {
        await this.#worker?.run(signal)
        return
      } catch (error) {
        // Another plan follows, and this worker goes on with it (docs/decisions/0016).
        if (!isWeirError(error, 'PLAN_CLOSED')) throw error
        waiting(`${error.code}: ${error.what}`)
        this.#worker = undefined
      }
    }
  }
}
