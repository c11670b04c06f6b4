/**
 * Work under way at once, in order per key: a key always goes to the same lane, and a lane does one thing at a time.
 *
 * Invariants: 1. what was put for one key is done in that order; 2. at most `count` under way and `count * waitingMax`
 * waiting (I6); 3. the first failure stops everything: `put` and `drain` throw it, and nothing more is begun.
 */
import { BoundedQueue, positiveMurmur2 } from '../../kernel/index.js'

/** Enough that a lane that is slow for a moment does not hold up the reader of the file. */
const waitingMax = 32

export class Lanes<T> {
  readonly #work: (item: T) => Promise<void>
  readonly #lanes: readonly Lane<T>[]
  #failure: { readonly error: unknown } | undefined

  /** @param work throws only what must stop everything */
  constructor(count: number, work: (item: T) => Promise<void>) {
    this.#work = work
    this.#lanes = Array.from({ length: count }, () => new Lane<T>())
  }

  /** Resolves when the item waits in its lane; a full lane makes the caller wait. */
  async put(key: string, item: T): Promise<void> {
    const lane = this.#lanes[positiveMurmur2(Buffer.from(key)) % this.#lanes.length]!
    while (lane.waiting.full && this.#failure === undefined) await lane.room()
    this.#throwFailure()
    lane.waiting.push(item)
    lane.running ??= this.#run(lane)
  }

  /** Resolves when everything put is done. */
  async drain(): Promise<void> {
    await Promise.all(this.#lanes.map(lane => lane.running))
    this.#throwFailure()
  }

  async #run(lane: Lane<T>): Promise<void> {
    for (let item = lane.waiting.shift(); item !== undefined; item = lane.waiting.shift()) {
      lane.onRoom()
      if (this.#failure !== undefined) break
      try {
        await this.#work(item)
      } catch (error) {
        this.#failure ??= { error }
      }
    }
    lane.running = undefined
    if (this.#failure !== undefined) for (const other of this.#lanes) other.onRoom()
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

class Lane<T> {
  readonly waiting = new BoundedQueue<T>('lane', waitingMax)
  running: Promise<void> | undefined
  onRoom: () => void = () => {}

  /** There is one reader of the file, so one waits. */
  room(): Promise<void> {
    return new Promise(resolve => {
      this.onRoom = resolve
    })
  }
}
