/**
 * When a slot's epochs come, as somebody sees it who follows the journal: what a take-over is decided by (takeover.ts).
 * Times between epochs are by the log's time stamps, so that a pause of who looks on is none of the owner's; silence is by the
 * clock of who looks on.
 */
import { generationOf, type JournalRecord } from './journal.js'
import type { Link } from './journal-reader.js'
import type { TakeoverFacts } from './takeover.js'

const windowMs = 60_000
/** Shorter ones do not matter, and would be many (I6): of these there are at most 600 in a minute. */
const gapMsMin = 100

interface Dated {
  readonly atMs: number
  readonly ms: number
}

export class Rhythm {
  #gaps: Dated[] = []
  /** When the slot was taken over, by the clock of who looks on. */
  #takeovers: number[] = []
  #heardAtMs: number
  #last: { readonly record: JournalRecord; readonly loggedAtMs: number } | undefined

  /** @param tookOverMs when this process has taken the slot over before: others may not have seen it */
  constructor(nowMs: number, tookOverMs: readonly number[] = []) {
    this.#heardAtMs = nowMs
    this.#takeovers = [...tookOverMs]
  }

  /** The record that the fold stands at. */
  begin({ record, loggedAtMs }: Link, nowMs: number): void {
    this.#last = { record, loggedAtMs }
    this.#heardAtMs = nowMs
  }

  heard({ record, loggedAtMs }: Link, nowMs: number): void {
    const before = this.#last
    const first = before === undefined || before.record.kind === 'genesis'
    if (!first && generationOf(before.record) !== generationOf(record)) {
      if (nowMs - loggedAtMs < windowMs) this.#takeovers.push(nowMs)
    } else if (!first && loggedAtMs - before.loggedAtMs >= gapMsMin) {
      this.#gaps.push({ atMs: loggedAtMs, ms: loggedAtMs - before.loggedAtMs })
    }
    this.#last = { record, loggedAtMs }
    this.#heardAtMs = nowMs
  }

  /** It could not listen: what the owner did meanwhile is not known, and it may have met the same. */
  deaf(nowMs: number): void {
    this.#heardAtMs = nowMs
  }

  /** How old the last epoch is, beyond what its owner promised, ms. */
  behindMs(nowMs: number): number {
    const { record, loggedAtMs = nowMs } = this.#last ?? {}
    return Math.max(0, nowMs - loggedAtMs - (heartbeatOf(record) ?? 0))
  }

  facts(nowMs: number): Pick<TakeoverFacts, 'generation' | 'heartbeatMs' | 'silentMs' | 'takeovers' | 'longestGapMs'> {
    this.#gaps = this.#gaps.filter(({ atMs }) => nowMs - atMs < windowMs)
    this.#takeovers = this.#takeovers.filter(atMs => nowMs - atMs < windowMs)
    const record = this.#last?.record
    return {
      generation: record === undefined ? 0 : generationOf(record),
      heartbeatMs: heartbeatOf(record),
      silentMs: nowMs - this.#heardAtMs,
      takeovers: this.#takeovers.length,
      longestGapMs: Math.max(0, ...this.#gaps.map(({ ms }) => ms)),
    }
  }
}

const heartbeatOf = (record: JournalRecord | undefined): number | undefined =>
  record?.kind === 'epoch' ? record.heartbeat_ms : undefined
