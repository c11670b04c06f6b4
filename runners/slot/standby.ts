/**
 * A standby: the fold of a slot that somebody else runs. It follows the journal with outputs suppressed and scoring skipped,
 * and writes its own store back.
 *
 * Invariants: 1. it never fences and never commits, until `takeOver`; 2. I2: what it writes back reflects an epoch that it has
 * read from the journal, hence a committed one; 3. I4: `takeOver` fences first and then folds what it has not read yet.
 * Calls must not overlap. After an error it is closed and another one is made.
 */
import { type DurationMs, defined, millis } from '../../kernel/index.js'
import { RangeReaders } from './intake.js'
import { ChainReader, lastLink, linkAt } from './journal-reader.js'
import { defaultLimits, type SlotLimits, type SlotOptions } from './options.js'
import { foldLink, journalOf, openFolding } from './recover.js'
import { Rhythm } from './rhythm.js'
import { type Folding, keepHouse, writeBack } from './running.js'
import { Slot } from './slot.js'
import { silenceOf, type TakeoverFacts } from './takeover.js'

export interface StandbyLag {
  /** Epochs that have been read from the journal and not been folded: a thousand and some at most. */
  readonly epochs: number
  /** How old the last one that was folded is, beyond what its owner promised, ms. */
  readonly ms: number
}

/** An answer that takes longer says that something else than the owner is slow. */
const stillMsMax = 250

export class Standby {
  readonly #options: SlotOptions
  readonly #following: SlotOptions
  readonly #limits: SlotLimits
  readonly #readers: RangeReaders
  readonly #rhythm: Rhythm
  /** What it becomes: created, until it takes over. */
  readonly slot: Slot
  /** undefined while the journal is empty. */
  #fold: { readonly folding: Folding; readonly chain: ChainReader; readonly caughtUpAt: bigint } | undefined

  /** @param tookOverMs when this process has taken the slot over lately, by its clock */
  constructor(options: SlotOptions, tookOverMs: readonly number[] = []) {
    this.#options = options
    const { checkpoints } = options
    // Its owner makes them.
    this.#following = checkpoints
      ? { ...options, checkpoints: { ...checkpoints, checkpointer: { afterWriteBack: async () => {} } } }
      : options
    this.#limits = { ...defaultLimits, ...options.limits }
    this.#readers = new RangeReaders(options.log)
    this.#rhythm = new Rhythm(options.clock.nowMs(), tookOverMs)
    this.slot = new Slot(options)
  }

  get epoch(): number {
    return this.#fold?.folding.epoch ?? 0
  }

  /** Everything has been folded that was there when it began to follow, and all that has been read since. */
  get caughtUp(): boolean {
    if (this.#fold === undefined) return false
    const { chain, caughtUpAt } = this.#fold
    return chain.ahead.length === 0 && chain.position > caughtUpAt
  }

  get lag(): StandbyLag {
    return { epochs: this.#fold?.chain.ahead.length ?? 0, ms: this.#rhythm.behindMs(this.#options.clock.nowMs()) }
  }

  /** Of an empty journal nothing is known: it begins with whoever it is given to. */
  get facts(): Omit<TakeoverFacts, 'given' | 'ranHere'> {
    const caughtUp = this.#fold === undefined || this.caughtUp
    return { caughtUp, ...this.#rhythm.facts(this.#options.clock.nowMs()) }
  }

  /**
   * Fills the store from a checkpoint where that is nearer. @throws WeirError as `Slot.start`; HISTORY_TRIMMED also when the owner has
   * trimmed what was being restored, or has published the only whole one since they were listed: another try finds a newer checkpoint
   */
  async start(): Promise<void> {
    const { log, store, clock } = this.#options
    await store.discard()
    const journal = journalOf(this.#options)
    const last = await lastLink(log, journal)
    if (last === undefined) return
    const folding = await openFolding(this.#following, this.#limits, this.slot.phases, 'anywhere')
    this.#rhythm.begin(
      defined(await linkAt(log, journal, folding.at), 'the record that the fold stands at'),
      clock.nowMs(),
    )
    this.#fold = { folding, chain: await ChainReader.open(log, journal, folding), caughtUpAt: last.at }
  }

  /**
   * Folds what has come, and waits a little for it. @returns epochs
   * @throws WeirError OFFSET_OUT_OF_RANGE, JOURNAL_CORRUPT, BACKEND_FAILED, KAFKA_UNAVAILABLE, …: it is of no use any more
   */
  async step(): Promise<number> {
    const { clock } = this.#options
    if (this.#fold === undefined) {
      await this.start()
      if (this.#fold === undefined) await clock.sleep(this.#limits.pollWaitMs)
      return 0
    }
    const { folding, chain } = this.#fold
    const { epochsPerFollowMax, pollWaitMs } = this.#limits
    const askedAtMs = clock.nowMs()
    const links = await chain.next(epochsPerFollowMax, this.#waitMs())
    // This process stood still, and its owner perhaps as well.
    if (links.length === 0 && clock.nowMs() - askedAtMs > pollWaitMs + stillMsMax) this.#rhythm.deaf(clock.nowMs())
    for (const link of links) {
      const records = await foldLink(folding, this.#readers, this.#following, link)
      this.#rhythm.heard(link, clock.nowMs())
      if (records !== undefined) await keepHouse(folding, this.#following, this.#limits, records)
    }
    return links.length
  }

  /** Not past the moment from which the owner counts as dead. */
  #waitMs(): DurationMs {
    const { facts } = this
    const { pollWaitMs } = this.#limits
    const leftMs = facts.heartbeatMs ? silenceOf(facts, facts.heartbeatMs) - facts.silentMs : 0
    return leftMs > 0 ? millis(Math.min(pollWaitMs, leftMs)) : pollWaitMs
  }

  /**
   * Asks the log, whether nothing has come since the last step. A silence is none when it was the log that did not answer.
   * @throws WeirError as the log
   */
  async isLast(): Promise<boolean> {
    const { log, clock } = this.#options
    const askedAtMs = clock.nowMs()
    const last = await lastLink(log, journalOf(this.#options))
    if (clock.nowMs() - askedAtMs > stillMsMax) {
      this.#rhythm.deaf(clock.nowMs())
      return false
    }
    return last?.hash === this.#fold?.folding.hash
  }

  /** Takes the slot over. What closes the standby closes the slot from now on. @throws WeirError as `Slot.start` */
  async takeOver(): Promise<Slot> {
    try {
      await this.slot.start(this.#fold?.folding)
      return this.slot
    } finally {
      await this.#letGo()
    }
  }

  /** Writes state back unless nobody will want it, and lets go of the log. */
  async close(options: { readonly keepState: boolean } = { keepState: true }): Promise<void> {
    if (this.slot.state !== 'created') return await this.slot.close(options)
    try {
      if (options.keepState && this.#fold !== undefined) await writeBack(this.#fold.folding, this.#following)
    } finally {
      await this.#letGo()
    }
  }

  async #letGo(): Promise<void> {
    const chain = this.#fold?.chain
    this.#fold = undefined
    await chain?.close()
    await this.#readers.close()
  }
}
