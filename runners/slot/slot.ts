/**
 * A slot: a deterministic fold over its partitions of the log, committed epoch by epoch.
 *
 * The cycle: poll -> decode -> order -> operators step by step -> score -> decide -> encode -> one transaction
 * {outputs, dead letters, epoch record} -> write-back when due.
 *
 * Invariants kept here:
 *   I1 outputs and their epoch record are one transaction;
 *   I2 state is serialised between epochs and written only after the epoch that it reflects is committed;
 *   I4 whoever finds a newer owner in the journal yields; recover.ts fences before it reads the journal;
 *   I5 after a failed commit the committer is thrown away and the slot recovers from the journal;
 *   I7 a record on which an operator throws is left out of a second run and dead-lettered, a bounded number of times.
 * Calls must not overlap: one `step` at a time. `inspect` alone may be called at any time.
 */
import { assert, defined, isWeirError, messageOf, millis, WeirError } from '../../kernel/index.js'
import { type LogReader, offset, type TopicPartition } from '../../log/index.js'
import { readAt } from '../../operators/index.js'
import type { InspectOptions, KeyInspection } from '../../state/index.js'
import { advancedStages, expiryOf } from './clocks.js'
import { finiteOrNull, hasDrained, inFlight, markOf } from './closing.js'
import { deadLetterAppends, hashOutputs } from './egress.js'
import { Inspections } from './inspections.js'
import {
  type DeadLetter,
  type EpochInput,
  type Exclusions,
  emptyInput,
  RangeReaders,
  readEpoch,
  rereadEpoch,
} from './intake.js'
import {
  type Closing,
  type EpochRecord,
  encodeJournalRecord,
  type InputRange,
  journalTopicOf,
  type PartitionOffset,
} from './journal.js'
import { Lifecycle, type SlotState } from './lifecycle.js'
import { type CrashPoint, defaultLimits, type SlotLimits, type SlotOptions, type StepResult } from './options.js'
import { letterWithoutBytes, withOriginals } from './originals.js'
import { Phases } from './phases.js'
import { RecordFault } from './pipeline.js'
import { lies, shortened } from './ranges.js'
import { recover, yieldToNewer } from './recover.js'
import { positionKey, rowPosition } from './rows.js'
import { advance, type Folding, keepHouse, partitionKey, type Reflected, type Running, writeBack } from './running.js'

/** A record that an operator threw on. */
interface Exclusion {
  readonly code: string
  readonly message: string
  readonly at: PartitionOffset
  /** An earlier epoch has read it: it waited in state for its turn. */
  readonly waited: boolean
}

/** What a slot keeps of a key, and when: after `epoch`. */
export interface SlotInspection extends KeyInspection {
  readonly slot: number
  readonly epoch: number
}

export class Slot {
  readonly phases = new Phases()
  readonly #options: SlotOptions
  readonly #limits: SlotLimits
  readonly #lifecycle = new Lifecycle()
  readonly #inspections = new Inspections()
  #running: Running | undefined
  #recoveries = 0
  /** Of the last run; 0 before the first. */
  #generation = 0
  #heartbeatDueMs = Number.POSITIVE_INFINITY

  constructor(options: SlotOptions) {
    this.#options = options
    this.#limits = { ...defaultLimits, ...options.limits }
  }

  get state(): SlotState {
    return this.#lifecycle.state
  }

  /** Running totals since genesis, of committed epochs. */
  get counts(): ReadonlyMap<string, number> {
    return this.#running?.counts ?? new Map()
  }

  /** Of every input: the first record that no committed epoch has read. */
  get positions(): readonly PartitionOffset[] {
    return [...(this.#running?.positions.values() ?? [])]
  }

  /** Of this owner (I4); 0 before it runs. */
  get generation(): number {
    return this.#generation
  }

  get epoch(): number {
    return this.#running?.epoch ?? 0
  }

  /**
   * What the store on disk reflects: no recovery reads an input or the journal below. undefined before a first write-back.
   * It is as durable as the store: whoever trims by it makes sure that the write-back has been synced.
   */
  get reflected(): Reflected | undefined {
    return this.#running?.reflected
  }

  /**
   * Fences older owners, recovers, and is ready for `step`.
   * @param followed what a standby has folded with the same options: only what came since is folded
   * @throws WeirError
   */
  async start(followed?: Folding): Promise<void> {
    this.#lifecycle.transition('recovering')
    try {
      await this.#recover('start', followed)
      this.#lifecycle.transition('running')
    } catch (error) {
      this.#lifecycle.transition('failed')
      throw error
    }
  }

  /**
   * Runs one epoch over whatever has arrived. Recovers by itself from a failed commit.
   * @throws WeirError SLOT_FENCED when another owner has taken over; EPOCH_FAILED past the bounds
   */
  async step(): Promise<StepResult> {
    assert(this.#lifecycle.state === 'running', `step of a slot that is ${this.#lifecycle.state}`)
    await this.#inspections.beginStep()
    try {
      const result = await this.#epoch()
      if (result.kind === 'committed') this.#recoveries = 0
      return result
    } catch (error) {
      if (!isPassing(error)) {
        this.#lifecycle.transition('failed')
        throw error
      }
      await this.#recoverAfter(messageOf(error))
      return { kind: 'idle' }
    } finally {
      this.phases.stop()
      this.#inspections.endStep()
    }
  }

  /** Whether the journal says that the plan ends. */
  get closing(): Closing | undefined {
    return this.#running?.closes
  }

  /**
   * Says in the journal that the plan ends, that it is closed, or, with null, that it goes on after all (closing.ts). Recovers
   * by itself from a failed commit: `closing` then tells whether it has been said.
   * @throws WeirError as `step`
   */
  async mark(closes: Closing | null): Promise<void> {
    assert(this.#lifecycle.state === 'running', `mark of a slot that is ${this.#lifecycle.state}`)
    const running = defined(this.#running, 'running slot')
    assert(running.closes?.last !== true, 'nothing follows in a plan that is closed')
    const record = markOf(running, this.#options, closes)
    const { bytes, hash } = encodeJournalRecord(record)
    try {
      const [at] = await running.committer.commit([{ ...this.#journal, records: [{ key: null, value: bytes }] }])
      this.#crashAt('committed')
      advance(running, this.#options, record, hash, defined(at, 'offset of a journal record'))
    } catch (error) {
      if (!isPassing(error)) {
        this.#lifecycle.transition('failed')
        throw error
      }
      await this.#recoverAfter(messageOf(error))
    }
  }

  /** Nothing is left for it to read but inputs, and nothing of its own is under way in other slots. */
  async hasDrained(): Promise<boolean> {
    return await hasDrained(defined(this.#running, 'running slot'), this.#options.log, this.#options.plan)
  }

  /**
   * What a step keeps of a key as of the last committed epoch. Answered between epochs; while a step is under way that is
   * before the next one. Nothing that operators see changes by it (I3).
   * @throws WeirError UNKNOWN_STEP, NOT_READY while the slot does not run, QUEUE_FULL, BACKEND_FAILED
   */
  async inspect(step: string, key: string, options: InspectOptions): Promise<SlotInspection> {
    const { slot, store } = this.#options
    const refuseUnlessRunning = (): void => {
      const { state } = this.#lifecycle
      if (state !== 'running') throw new WeirError('NOT_READY', `slot ${slot} is ${state}`)
    }
    refuseUnlessRunning()
    return await this.#inspections.ask(async () => {
      refuseUnlessRunning()
      return { slot, epoch: this.epoch, ...(await store.inspect(step, key, options)) }
    })
  }

  /** Stops reading, writes state back unless nobody will want it, and lets go of the log. */
  async close(options: { readonly keepState: boolean } = { keepState: true }): Promise<void> {
    if (this.#lifecycle.state === 'closed') return
    await this.#inspections.stop(`slot ${this.#options.slot} is closing`)
    try {
      if (this.#lifecycle.state === 'running') {
        this.#lifecycle.transition('draining')
        if (options.keepState) await this.#leave(defined(this.#running, 'running slot'))
      }
    } finally {
      await this.#letGo()
      this.#lifecycle.transition('closed')
    }
  }

  /** Tells a standby that it may take over, if there may be one, and writes back. */
  async #leave(running: Running): Promise<void> {
    const { plan } = this.#options
    if (this.#beats(running)) await this.#attempt(running, emptyInput(plan), new Map(), true)
    await writeBack(running, this.#options)
  }

  /** Not while a plan ends: an epoch that read nothing would move watermarks, and send what fires on them. */
  #beats({ closes }: Running): boolean {
    return closes === undefined && Number.isFinite(this.#limits.heartbeatMs)
  }

  async #epoch(): Promise<StepResult> {
    const running = defined(this.#running, 'running slot')
    const { plan, log } = this.#options
    this.phases.start('read')
    const { closes, held } = running
    const ends = closes !== undefined
    if (ends && (held === undefined || closes.last)) {
      await this.#options.clock.sleep(this.#limits.pollWaitMs)
      return { kind: 'idle' }
    }
    const underWay = inFlight(running.counts)
    const beatsAtMs = this.#beats(running) ? this.#heartbeatDueMs : Number.POSITIVE_INFINITY
    const untilHeartbeatMs = Math.max(0, beatsAtMs - this.#options.clock.nowMs())
    let input: EpochInput | undefined
    try {
      if ((await held?.hold(ends || underWay >= this.#limits.inFlightRowsMax)) && !ends) {
        this.#options.onEvent?.({ kind: 'held-back', rows: underWay })
      }
      input = await readEpoch(plan, running.reader, log.totalOrder, {
        recordsMax: this.#limits.epochRecordsMax,
        bytesMax: this.#limits.epochBytesMax,
        waitMsMax: millis(Math.min(this.#limits.pollWaitMs, untilHeartbeatMs)),
      })
    } catch (error) {
      // Nothing has been touched, and the reader stands where it stood.
      if (isWeirError(error, 'KAFKA_UNAVAILABLE')) return { kind: 'unavailable', message: error.message }
      throw error
    }
    if (input === undefined) {
      if (running.reader.finished) return { kind: 'finished' }
      if (this.#options.clock.nowMs() < beatsAtMs) return { kind: 'idle' }
      input = emptyInput(plan)
    }
    this.#crashAt('polled')
    if (!(await this.#runAndCommit(input))) return { kind: 'idle' }
    return { kind: 'committed', epoch: defined(this.#running, 'running slot').epoch, records: input.records }
  }

  /**
   * Runs an epoch until it commits, leaving out records that operators throw on (I7).
   * @returns false when another owner has run its records meanwhile
   */
  async #runAndCommit(first: EpochInput): Promise<boolean> {
    const exclusions = new Map<string, Exclusion>()
    let input = first
    for (;;) {
      const running = defined(this.#running, 'running slot')
      try {
        await this.#attempt(running, input, exclusions)
        return true
      } catch (error) {
        if (!(error instanceof RecordFault)) throw error
        const { topic, partition, offset } = readAt(error.row)
        const key = positionKey(topic, partition, offset)
        const repeated = exclusions.has(key)
        const at = { topic, partition, offset: String(offset) }
        const waited = !lies(at, input.ranges)
        exclusions.set(key, { code: 'OPERATOR_EXCEPTION', message: error.message, at, waited })
        // An epoch of too many bad records becomes a shorter one; what is left is for the next.
        const left = [...exclusions.values()].map(({ at }) => at)
        const ranges = shortened(input.ranges, left, this.#limits.exclusionsPerEpochMax)
        if (ranges === undefined || offset < 0 || repeated) {
          throw new WeirError('EPOCH_FAILED', `epoch ${running.epoch + 1}: ${error.message}`, { cause: error })
        }
        this.#options.onEvent?.({ kind: 'excluded', position: key, step: error.step, message: error.message })
        // Not in its words, which may name a customer: 'excluded' has told them.
        await this.#recover(`step '${error.step}' threw on ${key}, which is left out`)
        const again = defined(this.#running, 'running slot')
        if (again.hash !== running.hash) return false
        for (const [key, { at, waited }] of exclusions) if (!waited && !lies(at, ranges)) exclusions.delete(key)
        input = await this.#reread(again.reader, ranges, exclusions)
      }
    }
  }

  /** The live reader goes on behind what is read again. */
  async #reread(live: LogReader, ranges: readonly InputRange[], exclusions: Exclusions): Promise<EpochInput> {
    const readers = new RangeReaders(this.#options.log)
    try {
      const input = await rereadEpoch(this.#options.plan, readers, ranges, exclusions)
      for (const { topic, partition, to } of input.ranges) live.seek({ topic, partition, offset: offset(BigInt(to)) })
      return input
    } finally {
      await readers.close()
    }
  }

  /** @param leaves it is this owner's last */
  async #attempt(
    running: Running,
    input: EpochInput,
    exclusions: ReadonlyMap<string, Exclusion>,
    leaves = false,
  ): Promise<void> {
    const { plan } = this.#options
    const { heartbeatMs } = this.#limits
    const nowMs = this.#options.clock.nowMs()
    const beats = this.#beats(running)
    const clocks = running.clocks.after(input.watermarks, nowMs, this.#limits.idleAfterMs)
    const watermarks = advancedStages(plan, running.watermarks, clocks)
    const watermark = watermarks[plan.stages - 1]!
    const { pipeline } = running
    await pipeline.run(input.rows, { watermarks, excluded: new Set(exclusions.keys()) }, 'live')
    // What waited since an earlier epoch is excluded in the epoch in which its turn has come.
    const leftOut = new Set(pipeline.leftOut.map(rowPosition))
    const excluded = [...exclusions].filter(([key, { waited }]) => !waited || leftOut.has(key)).map(([, { at }]) => at)
    const deadLetters = await withOriginals(this.#options.log, [
      ...input.deadLetters,
      ...pipeline.leftOut.map(row => letterWithoutBytes({ source: row.source, ...exclusions.get(rowPosition(row))! })),
    ])
    this.#crashAt('operators-done')

    this.phases.start('encode')
    const counts = new Map(running.counts)
    add(counts, 'records', input.records)
    add(counts, 'blank', input.blanks)
    add(counts, 'dead_letters', deadLetters.length)
    if (input.hopRecords > 0) add(counts, 'hop_records', input.hopRecords)
    for (const [name, by] of running.pipeline.counts) add(counts, name, by)
    const stampOf = this.#options.stampOf ?? (() => ({ nowMs, timingsUs: null }))
    for (const writer of running.writers) {
      const rows = running.pipeline.rowsFor(writer.sink)
      add(counts, writer.sink.counter, rows.length)
      writer.encode(rows, stampOf)
    }
    for (const writer of running.hops) {
      const stage = plan.stageOf.get(writer.hop.name) ?? 0
      writer.encode(pipeline.rowsForHop(writer.hop), running.watermarks[stage]!)
    }
    this.phases.start('hash')
    const positions = new Map(running.positions)
    for (const { topic, partition, to } of input.ranges) {
      positions.set(partitionKey({ topic, partition }), { topic, partition, offset: to })
    }
    const record: EpochRecord = {
      v: 3,
      kind: 'epoch',
      plan: this.#options.planNumber ?? 1,
      slots: plan.placement.slots,
      epoch: running.epoch + 1,
      generation: running.generation,
      fingerprint: plan.fingerprint,
      inputs: input.ranges,
      positions: [...positions.values()],
      excluded: [...excluded, ...momentary(input.deadLetters)],
      clocks,
      watermark_ms: finiteOrNull(watermark),
      ...(plan.stages > 1 && { stages_ms: watermarks.map(finiteOrNull) }),
      expiry_ms: expiryOf(watermark, input.loggedAtMs),
      counts: Object.fromEntries(counts),
      outputs_sha256: hashOutputs(running.writers, running.hops, deadLetters),
      ...(beats && { heartbeat_ms: leaves ? 0 : heartbeatMs }),
      ...(running.closes && { closes: running.closes }),
      previous: running.hash,
    }
    const encoded = encodeJournalRecord(record)
    this.#crashAt('encoded')

    this.phases.start('commit')
    const offsets = await running.committer.commit([
      ...running.writers.flatMap(writer => writer.appends()),
      ...running.hops.flatMap(writer => writer.appends()),
      ...deadLetterAppends(this.#options.deadLetters, deadLetters, running),
      { ...this.#journal, records: [{ key: null, value: encoded.bytes }] },
    ])
    this.#crashAt('committed')
    running.counts = counts
    this.#heartbeatDueMs = nowMs + heartbeatMs
    advance(running, this.#options, record, encoded.hash, defined(offsets.at(-1), 'offset of a journal record'))
    this.#options.onCommitted?.({
      record,
      writers: running.writers,
      deadLetters,
      replyTo: input.replyTo,
    })
    const failedRows = running.pipeline.counts.get('scoring_failed') ?? 0
    if (failedRows > 0) {
      const message = messageOf(running.pipeline.scoringError)
      this.#options.onEvent?.({ kind: 'model-failed', rows: failedRows, epoch: record.epoch, message })
    }

    running.pipeline.release()
    for (const writer of running.writers) writer.release()
    this.phases.start('write-back')
    await keepHouse(running, this.#options, this.#limits, input.records + input.hopRecords)
  }

  async #recoverAfter(reason: string): Promise<void> {
    this.#lifecycle.transition('recovering')
    for (;;) {
      if (++this.#recoveries > this.#limits.recoveriesMax) {
        this.#lifecycle.transition('failed')
        throw new WeirError(
          'EPOCH_FAILED',
          `${this.#limits.recoveriesMax} recoveries without a committed epoch; last: ${reason}`,
        )
      }
      try {
        await this.#recover(reason)
        this.#lifecycle.transition('running')
        return
      } catch (error) {
        if (isPassing(error)) continue
        this.#lifecycle.transition('failed')
        throw error
      }
    }
  }

  /** To the committed position (I5): everything of the run before is let go first. */
  async #recover(reason: string, followed?: Folding): Promise<void> {
    this.#options.onEvent?.({ kind: 'recovering', reason })
    await this.#letGo()
    await yieldToNewer(this.#options, this.#generation)
    const from = this.#generation === 0 ? 'anywhere' : 'its own run'
    this.#running = await recover(this.#options, this.#limits, this.phases, from, followed)
    this.#generation = this.#running.generation
    // At once: whoever was fenced finds the newer generation in the journal.
    this.#heartbeatDueMs = Number.isFinite(this.#limits.heartbeatMs) ? 0 : Number.POSITIVE_INFINITY
  }

  async #letGo(): Promise<void> {
    const running = this.#running
    this.#running = undefined
    if (running === undefined) return
    await running.reader.close()
    await running.committer.close()
  }

  get #journal(): TopicPartition {
    return { topic: journalTopicOf(this.#options.plan.app), partition: this.#options.slot }
  }

  #crashAt(point: CrashPoint): void {
    this.#options.crashAt?.(point)
  }
}

/** Worth another try from the committed position (I5). A fenced slot is not: somebody else runs it. */
function isPassing(error: unknown): boolean {
  return isWeirError(error, 'COMMIT_INDEFINITE') || isWeirError(error, 'BACKEND_FAILED')
}

function add(counts: Map<string, number>, name: string, by: number): void {
  counts.set(name, (counts.get(name) ?? 0) + by)
}

/**
 * Dead letters that might be none when the epoch is read again: a registry may learn a schema. They stay dead letters because
 * the journal says so (I3).
 */
function momentary(deadLetters: readonly DeadLetter[]): PartitionOffset[] {
  return deadLetters
    .filter(({ code }) => code === 'UNKNOWN_SCHEMA')
    .map(({ source: { topic, partition, offset } }) => ({ topic, partition, offset: String(offset) }))
}
