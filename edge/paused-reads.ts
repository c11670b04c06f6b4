/**
 * Connections that are left unread for a moment after a refusal. The event loop reads whatever is there before it gives anybody
 * else a turn, and asks for more while 1,024 connections have something: under a flood it handled up to 29,000 requests in a turn of
 * a second, and an epoch takes several turns.
 *
 * Invariant: once `perTurn` requests were refused in a turn, each further one leaves its connection unread until the next, first
 * come first served, `readsPerTurn` at most. Leaving one unread and reading it again costs as much as half a refusal: a turn that is
 * short needs none of it.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** Refusing takes some 30 us: 4 ms. */
const perTurnMax = 128
const readsPerTurn = 512

export class PausedReads {
  readonly #nextTurn: (work: () => void) => void
  #waiting: Socket[] = []
  #refused = 0
  #scheduled = false

  /** @param nextTurn calls back after the event loop has read what there is */
  constructor(nextTurn: (work: () => void) => void = setImmediate) {
    this.#nextTurn = nextTurn
  }

  afterRefusal(request: IncomingMessage): void {
    this.#schedule()
    if (++this.#refused <= perTurnMax) return
    const { socket } = request
    // Not before: at the end of a request, and when what is left of one is thrown away, node:http begins to read again.
    request.once('close', () => {
      socket.pause()
      this.#waiting.push(socket)
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#nextTurn(() => this.#turn())
  }

  #turn(): void {
    this.#scheduled = false
    this.#refused = 0
    for (const socket of this.#waiting.splice(0, readsPerTurn)) socket.resume()
    if (this.#waiting.length > 0) this.#schedule()
  }
}
