/**
 * Whether Kafka answers, asked once a second. While it does not, callers are told at once instead of after a time-out.
 */
import { type Clock, messageOf, seconds } from '../../kernel/index.js'

const probeEvery = seconds(1)

export interface ReachOptions {
  readonly clock: Clock
  /** Throws when Kafka does not answer. */
  readonly probe: () => Promise<void>
  readonly onChange: (answers: boolean, reason: string) => void
}

export class Reach {
  readonly #options: ReachOptions
  #trouble: string | undefined
  #closed = false

  constructor(options: ReachOptions) {
    this.#options = options
    void this.#run()
  }

  /** Why it cannot be reached; undefined while it can. */
  get trouble(): string | undefined {
    return this.#trouble
  }

  close(): void {
    this.#closed = true
  }

  async #run(): Promise<void> {
    const { clock, probe, onChange } = this.#options
    for (;;) {
      await clock.sleep(probeEvery)
      if (this.#closed) return
      const before = this.#trouble
      try {
        await probe()
        this.#trouble = undefined
      } catch (error) {
        this.#trouble = messageOf(error)
      }
      // What is closed while it is asked has nothing to tell.
      if (this.#closed) return
      if ((before === undefined) !== (this.#trouble === undefined)) {
        onChange(this.#trouble === undefined, this.#trouble ?? '')
      }
    }
  }
}
