/**
 * Labels whose transaction has not arrived, in the order of their arrival, at most `max` per key (I6). They lie in the
 * root: there are few, and each transaction must look.
 */
import type { ByteReader, ByteWriter } from '../../kernel/index.js'

export interface EarlyLabel {
  /** Event time of the transaction. */
  readonly time: number
  readonly idHigh: number
  readonly idLow: number
  readonly availableAt: number
  readonly fraud: boolean
}

const labelBytes = 72

export class EarlyLabels {
  readonly #max: number
  #labels: EarlyLabel[] = []

  constructor(max: number) {
    this.#max = max
  }

  get count(): number {
    return this.#labels.length
  }

  get bytesInMemory(): number {
    return this.#labels.length * labelBytes
  }

  /** True when there is no room even without those whose transaction, older than `before`, can no longer arrive. */
  isFull(before: number): boolean {
    if (this.#labels.length < this.#max) return false
    return this.#labels.every(label => label.time >= before)
  }

  add(label: EarlyLabel): void {
    this.#labels.push(label)
  }

  /** The latest time of a transaction that is waited for; -Infinity when none is. */
  latest(): number {
    let latest = Number.NEGATIVE_INFINITY
    for (const label of this.#labels) latest = Math.max(latest, label.time)
    return latest
  }

  matching(time: number, idHigh: number, idLow: number): readonly EarlyLabel[] {
    if (this.#labels.length === 0) return nothing
    return this.#labels.filter(label => isOf(label, time, idHigh, idLow))
  }

  /** Removes and returns those of this transaction. */
  take(time: number, idHigh: number, idLow: number): readonly EarlyLabel[] {
    const taken = this.matching(time, idHigh, idLow)
    if (taken.length > 0) this.#labels = this.#labels.filter(label => !isOf(label, time, idHigh, idLow))
    return taken
  }

  /** Removes those whose transaction is older than `before` and would come too late. @returns how many */
  expire(before: number): number {
    const count = this.#labels.length
    if (this.#labels.some(label => label.time < before))
      this.#labels = this.#labels.filter(label => label.time >= before)
    return count - this.#labels.length
  }

  save(into: ByteWriter): void {
    into.varint(this.#labels.length)
    for (const label of this.#labels) {
      into.zigzag(label.time)
      into.u32(label.idHigh)
      into.u32(label.idLow)
      into.zigzag(label.availableAt - label.time)
      into.u8(label.fraud ? 1 : 0)
    }
  }

  load(from: ByteReader): void {
    for (let left = from.varint(); left > 0; left--) {
      const time = from.zigzag()
      const idHigh = from.u32() | 0
      const idLow = from.u32() | 0
      const availableAt = time + from.zigzag()
      this.#labels.push({ time, idHigh, idLow, availableAt, fraud: from.u8() === 1 })
    }
  }
}

const nothing: readonly EarlyLabel[] = []

function isOf(label: EarlyLabel, time: number, idHigh: number, idLow: number): boolean {
  return label.time === time && label.idLow === idLow && label.idHigh === idHigh
}
