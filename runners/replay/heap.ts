/**
 * V8 lets its heap grow to several times what lives in it before it collects. That is quick, and with a full cache, which
 * turns old objects into garbage all the time, it is gigabytes. So the heap is left alone while it is small, and collected
 * at 1.4 times what lives once it has grown past `roomyBytes`: 3,000,000 transactions of 1,000,000 customers then stay
 * below 1 GB (memory.services.test.ts), and a job whose state is small pays nothing.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8'

const roomyBytes = 300 << 20

export class HeapWatch {
  #tight = false

  /** Called between epochs. */
  look(): void {
    if (this.#tight || getHeapStatistics().used_heap_size < roomyBytes) return
    this.#tight = true
    setFlagsFromString('--heap-growing-percent=40')
  }
}
