import { WeirError } from './errors.js'

/**
 * First in, first out, with a bound that has a name (I6). `push` refuses when full instead of growing.
 * A ring: neither end moves elements.
 */
export class BoundedQueue<T> {
  readonly name: string
  readonly capacity: number
  readonly #ring: (T | undefined)[]
  #head = 0
  #size = 0

  constructor(name: string, capacity: number) {
    this.name = name
    this.capacity = capacity
    this.#ring = new Array<T | undefined>(capacity).fill(undefined)
  }

  get size(): number {
    return this.#size
  }

  get full(): boolean {
    return this.#size === this.capacity
  }

  /** @throws WeirError QUEUE_FULL */
  push(value: T): void {
    if (this.full) throw new WeirError('QUEUE_FULL', `${this.name} holds its ${this.capacity} entries`)
    this.#ring[(this.#head + this.#size) % this.capacity] = value
    this.#size++
  }

  shift(): T | undefined {
    if (this.#size === 0) return undefined
    const value = this.#ring[this.#head]
    this.#ring[this.#head] = undefined
    this.#head = (this.#head + 1) % this.capacity
    this.#size--
    return value
  }

  clear(): void {
    this.#ring.fill(undefined)
    this.#head = 0
    this.#size = 0
  }
}
