/**
 * V8 lets its heap grow to several times what lives in it before it collects. That is quick, and with a full cache, which
 * turns old objects into garbage all the time, it is gigabytes. So the heap is left alone until the cache is
 * nearly full, or large; from then on V8 collects at 1.4 times what lives. 3,000,000 transactions of 1,000,000 customers then stay below 1 GB
 * (memory.services.test.ts), and a job whose state fits pays nothing.
 */
import { setFlagsFromString } from 'node:v8'

/** What lives is then still small against the least budget, however far V8 lets the heap grow before. */
const largeBytes = 64 << 20

export class HeapWatch {
  readonly #fullBytes: number
  #tight = false

  /** @param cacheBytesMax bound of the state cache */
  constructor(cacheBytesMax: number) {
    this.#fullBytes = Math.min(cacheBytesMax * 0.8, largeBytes)
  }

  /** Called between epochs. */
  look(cacheBytes: number): void {
    if (this.#tight || cacheBytes < this.#fullBytes) return
    this.#tight = true
    setFlagsFromString('--heap-growing-percent=40')
  }
}
