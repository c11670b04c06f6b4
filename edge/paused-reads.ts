/**
 * Connections that are left unread for a moment after a refusal. The event loop reads whatever is there before it gives anybody
 * else a turn, and an epoch takes several turns: a flood of requests that are refused would make each of them last.
 *
 * Invariant: of the connections that wait here at most `readsPerTurn` are read again in a turn of the event loop, first come first served.
 */
import type { Socket } from 'node:net'

/** Refusing one takes some 30 us: two milliseconds a turn. */
const readsPerTurn = 64

export class PausedReads {
  #waiting: Socket[] = []
  #next = 0
  #scheduled = false

  pause(socket: Socket): void {
    socket.pause()
    this.#waiting.push(socket)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#turn())
  }

  #turn(): void {
    this.#scheduled = false
    const due = this.#waiting.slice(this.#next, this.#next + readsPerTurn)
    this.#next += due.length
    if (this.#next * 2 >= this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#next)
      this.#next = 0
    }
    for (const socket of due) socket.resume()
    if (this.#waiting.length > 0) this.#schedule()
  }
}
