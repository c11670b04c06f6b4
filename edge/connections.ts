/**
 * The open connections and how many requests are under way on each, so that closing ends at once those on which none is. The
 * server's own list does not tell: it takes a connection that never sent a byte, such as a browser's spare one, for busy.
 *
 * Invariant: an answer that is under way is cut only past `closeMsMax`.
 */
import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Logger } from './logger.js'

const sweepMs = 20

export class Connections {
  readonly #requests = new Map<Socket, number>()

  constructor(server: Server) {
    const requests = this.#requests
    server.on('connection', socket => {
      requests.set(socket, 0)
      socket.once('close', () => requests.delete(socket))
    })
    // one function for all responses: this runs for each request
    function left(this: ServerResponse): void {
      const { socket } = this.req
      const count = requests.get(socket)
      if (count !== undefined) requests.set(socket, count - 1)
    }
    server.on('request', ({ socket }, response) => {
      const count = requests.get(socket)
      if (count !== undefined) requests.set(socket, count + 1)
      response.once('close', left)
    })
  }

  /** Calls `close`, which stops accepting and resolves when no connection is left, and sees to it that none is. */
  async closeWithin(closeMsMax: number, close: () => Promise<unknown>, logger: Logger): Promise<void> {
    const sweep = setInterval(() => this.#end(count => count === 0), sweepMs)
    const cut = setTimeout(() => {
      logger.warn({ after_ms: closeMsMax, connections: this.#requests.size }, 'cutting answers that are not done')
      this.#end(() => true)
    }, closeMsMax)
    try {
      await close()
    } finally {
      clearInterval(sweep)
      clearTimeout(cut)
    }
  }

  #end(which: (requests: number) => boolean): void {
    for (const [socket, requests] of this.#requests) if (which(requests)) socket.destroy()
  }
}
