/**
 * Sends one record until Weir has answered for good.
 *
 * Invariants: 1. only what is safe is repeated: Weir knows a transaction by its id, so sending one twice makes no second
 * decision; 2. a record that Weir asks to send later (429, 503, 408) or cannot answer is given up after `patienceMs`; 3. a
 * server that never answered at all is not waited for; 4. an abort ends the waiting, not a request that is under way: it may
 * be taken, and its answer tells.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { assert, isWeirError } from '../../kernel/index.js'
import { errorOf, type PostReply, type Refusal, type WeirClient } from './client.js'

export interface Sent {
  readonly reply: PostReply
  /** An earlier try may have been taken though no answer came: a repeat may be a repeat of our own. */
  readonly triedBefore: boolean
}

const patienceMs = 60_000
const pauseMsMin = 50
const pauseMsMax = 5_000
const laterStatuses: ReadonlySet<number> = new Set([408, 429, 503])

export class Sender {
  readonly #client: WeirClient
  readonly #signal: AbortSignal
  readonly #patienceMs: number
  #answered = false

  constructor(client: WeirClient, signal: AbortSignal, patience = patienceMs) {
    this.#client = client
    this.#signal = signal
    this.#patienceMs = patience
  }

  /**
   * @throws WeirError UNREACHABLE when nobody answers, and what no other record would fare better with (401, 403, 404)
   */
  async send(path: string, body: Uint8Array): Promise<Sent> {
    let pauseMs = pauseMsMin
    let triedBefore = false
    let waitedMs = 0
    for (;;) {
      let wishMs: number | undefined
      try {
        const reply = await this.#client.post(path, body)
        if (reply.kind === 'accepted' || !laterStatuses.has(reply.refusal.status)) {
          if (reply.kind === 'refused') refuseStranger(reply.refusal)
          this.#answered = true
          return { reply, triedBefore }
        }
        this.#answered = true
        if (waitedMs >= this.#patienceMs) return { reply, triedBefore }
        wishMs = reply.retryAfterMs
      } catch (error) {
        if (!isWeirError(error, 'UNREACHABLE') || !this.#answered || waitedMs >= this.#patienceMs) throw error
        triedBefore = true
      }
      const waitMs = Math.min(Math.max(wishMs ?? 0, pauseMs), pauseMsMax)
      await sleep(waitMs, undefined, { signal: this.#signal })
      waitedMs += waitMs
      pauseMs = Math.min(pauseMs * 2, pauseMsMax)
    }
  }
}

/** Answers that have nothing to do with the record. */
function refuseStranger(refusal: Refusal): void {
  const { status } = refusal
  assert(status < 200 || status >= 300, 'a refusal is no success')
  if (status === 401 || status === 403 || status === 404 || status === 405) throw errorOf(refusal)
}
