/**
 * A slot: a deterministic fold over its partitions of the log, committed epoch by epoch.
 *
 * The cycle: poll -> decode -> order -> operators step by step -> score -> decide -> encode -> one transaction
 * {outputs, dead letters, epoch record} -> write-back when due.
 *
 * Invariants kept here:
 *   I1 outputs and their epoch record are one transaction;
 *   I2 state is serialised between epochs and written only after the epoch that it reflects is committed;
 *   I4 the committer is created (and thereby fences) before the journal is read;
 *   I5 after a failed commit the committer is thrown away and the slot recovers from the journal;
 *   I7 a record on which an operator throws is left out of a second run and dead-lettered, a bounded number of times.
 * Calls must not overlap: one `step` at a time.
 */
import {
  assert,
  beginningOfTime,
  defined,
  type EventTimeMs,
  isWeirError,
  messageOf,
  WeirError,
} from '../../kernel/index.js'
import type { LogCommitter, LogReader, Position } from '../../log/index.js'
import { advanced, Clocks, expiryOf } from './clocks.js'
import { deadLetterAppends, hashOutputs, SinkWriter } from './egress.js'
import { type EpochInput, positionKey, readEpoch, rereadEpoch } from './intake.js'
import {
  type EpochRecord,
  encodeJournalRecord,
  type GenesisRecord,
  type JournalHead,
  journalTopicOf,
  type PartitionOffset,
  readJournal,
} from './journal.js'
import { Lifecycle, type SlotState } from './lifecycle.js'
import { type CrashPoint, defaultLimits, type SlotLimits, type SlotOptions, type StepResult } from './options.js'
import { Phases } from './phases.js'
import { Pipeline, RecordFault } from './pipeline.js'
import { lies, shortened } from './ranges.js'
import { resolveRecovery } from './recovery.js'

/** Known only while the slot runs. */
interface Running {
  readonly committer: LogCommitter
  readonly reader: LogReader
  readonly pipeline: Pipeline
  readonly clocks: Clocks
  readonly writers: readonly SinkWriter[]
  readonly deadLetterPartitions: number
  readonly generation: number
  epoch: number
  hash: string
  counts: Map<string, number>
  /** Of the slot, after the last committed epoch. */
  watermark: EventTimeMs
  positions: Map<string, PartitionOffset>
}

export class Slot {
  readonly phases = new Phases()
  readonly #options: SlotOptions
  readonly #limits: SlotLimits
  readonly #lifecycle = new Lifecycle()
  #running: Running | undefined
  #recordsSinceWriteBack = 0
  #recoveries = 0
  /** Of the last run; 0 before the first. */
  #generation = 0

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

  get epoch(): number {
    return this.#running?.epoch ?? 0
  }

  /** Fences older owners, recovers, and is ready for `step`. @throws WeirError */
  async start(): Promise<void> {
    this.#lifecycle.transition('recovering')
    try {
      await this.#recover('start')
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
    }
  }

  /** Stops reading, writes state back unless nobody will want it, and lets go of the log. */
  async close(options: { readonly keepState: boolean } = { keepState: true }): Promise<void> {
    if (this.#lifecycle.state === 'closed') return
    try {
      if (this.#lifecycle.state === 'running') {
        this.#lifecycle.transition('draining')
        if (options.keepState) await this.#writeBack(defined(this.#running, 'running slot'))
      }
    } finally {
      await this.#letGo()
      this.#lifecycle.transition('closed')
    }
  }

  async #epoch(): Promise<StepResult> {
    const running = defined(this.#running, 'running slot')
    const { plan, log } = this.#options
    this.phases.start('read')
    const input = await readEpoch(plan, running.reader, log.totalOrder, {
      recordsMax: this.#limits.epochRecordsMax,
      bytesMax: this.#limits.epochBytesMax,
      waitMsMax: this.#limits.pollWaitMs,
    })
    if (input === undefined) return running.reader.finished ? { kind: 'finished' } : { kind: 'idle' }
    this.#crashAt('polled')
    if (!(await this.#runAndCommit(input))) return { kind: 'idle' }
    return { kind: 'committed', epoch: defined(this.#running, 'running slot').epoch, records: input.records }
  }

  /**
   * Runs an epoch until it commits, leaving out records that operators throw on (I7).
   * @returns false when another owner has run its records meanwhile
   */
  async #runAndCommit(first: EpochInput): Promise<boolean> {
    const exclusions = new Map<string, { code: string; message: string; at: PartitionOffset }>()
    let input = first
    for (;;) {
      const running = defined(this.#running, 'running slot')
      try {
        await this.#attempt(
          running,
          input,
          [...exclusions.values()].map(exclusion => exclusion.at),
        )
        return true
      } catch (error) {
        if (!(error instanceof RecordFault)) throw error
        const { topic, partition, offset } = error.row.source
        const key = positionKey(topic, partition, offset)
        exclusions.set(key, {
          code: 'OPERATOR_EXCEPTION',
          message: error.message,
          at: { topic, partition, offset: String(offset) },
        })
        // An epoch of too many bad records becomes a shorter one; what is left is for the next.
        const left = [...exclusions.values()].map(({ at }) => at)
        const ranges = shortened(input.ranges, left, this.#limits.exclusionsPerEpochMax)
        if (ranges === undefined || offset < 0) {
          throw new WeirError('EPOCH_FAILED', `epoch ${running.epoch + 1}: ${error.message}`, { cause: error })
        }
        this.#options.onEvent?.({ kind: 'excluded', position: key, step: error.step, message: error.message })
        await this.#recover(error.message)
        const again = defined(this.#running, 'running slot')
        if (again.hash !== running.hash) return false
        for (const [key, { at }] of exclusions) if (!lies(at, ranges)) exclusions.delete(key)
        input = await rereadEpoch(this.#options.plan, again.reader, ranges, exclusions)
      }
    }
  }

  async #attempt(running: Running, input: EpochInput, excluded: readonly PartitionOffset[]): Promise<void> {
    const { plan, store } = this.#options
    const nowMs = this.#options.clock.nowMs()
    const clocks = running.clocks.after(input.watermarks, nowMs, this.#limits.idleAfterMs)
    const watermark = advanced(running.watermark, clocks)
    await running.pipeline.run(input.rows, { watermark }, 'live')
    this.#crashAt('operators-done')

    this.phases.start('encode')
    const counts = new Map(running.counts)
    add(counts, 'records', input.records)
    add(counts, 'blank', input.blanks)
    add(counts, 'dead_letters', input.deadLetters.length)
    for (const [name, by] of running.pipeline.counts) add(counts, name, by)
    const stampOf = this.#options.stampOf ?? (() => ({ nowMs, timingsUs: null }))
    for (const writer of running.writers) {
      const rows = running.pipeline.rowsFor(writer.sink)
      add(counts, writer.sink.counter, rows.length)
      writer.encode(rows, stampOf)
    }
    this.phases.start('hash')
    const record: EpochRecord = {
      v: 1,
      kind: 'epoch',
      epoch: running.epoch + 1,
      generation: running.generation,
      fingerprint: plan.fingerprint,
      inputs: input.ranges,
      excluded,
      clocks,
      expiry_ms: expiryOf(watermark, input.loggedAtMs),
      counts: Object.fromEntries(counts),
      outputs_sha256: hashOutputs(running.writers, input.deadLetters),
      previous: running.hash,
    }
    const encoded = encodeJournalRecord(record)
    this.#crashAt('encoded')

    this.phases.start('commit')
    await running.committer.commit([
      ...running.writers.flatMap(writer => writer.appends()),
      ...deadLetterAppends(this.#options.deadLetters, input.deadLetters, running.deadLetterPartitions),
      {
        topic: journalTopicOf(plan.app),
        partition: this.#options.slot,
        records: [{ key: null, value: encoded.bytes }],
      },
    ])
    this.#crashAt('committed')
    running.counts = counts
    this.#advance(running, record, encoded.hash)
    this.#options.onCommitted?.({ record, writers: running.writers, deadLetters: input.deadLetters })
    const failedRows = running.pipeline.counts.get('scoring_failed') ?? 0
    if (failedRows > 0) {
      const message = messageOf(running.pipeline.scoringError)
      this.#options.onEvent?.({ kind: 'model-failed', rows: failedRows, epoch: record.epoch, message })
    }

    running.pipeline.release()
    for (const writer of running.writers) writer.release()
    this.phases.start('write-back')
    await store.sweep(this.#limits.sweepKeysMax)
    this.#recordsSinceWriteBack += input.records
    const due =
      store.dirtyBytes >= this.#limits.dirtyBytesMax ||
      this.#recordsSinceWriteBack >= this.#limits.recordsPerWriteBackMax
    if (due) await this.#writeBack(running)
  }

  /** The epoch is committed: what follows it starts from here. */
  #advance(running: Running, record: EpochRecord, hash: string): void {
    running.epoch = record.epoch
    running.hash = hash
    running.clocks.restore(record.clocks)
    running.watermark = advanced(running.watermark, record.clocks)
    for (const range of record.inputs) {
      running.positions.set(`${range.topic}/${range.partition}`, {
        topic: range.topic,
        partition: range.partition,
        offset: range.to,
      })
    }
    if (record.expiry_ms !== null) this.#options.store.setExpiryClock(record.expiry_ms)
  }

  async #writeBack(running: Running): Promise<void> {
    const { store, plan } = this.#options
    const pending = store.serialise()
    this.#crashAt('serialised')
    const position = { epoch: running.epoch, journalHash: running.hash, fingerprint: plan.fingerprint }
    await store.write(pending, position, { sync: this.#options.syncState })
    store.evict()
    this.#recordsSinceWriteBack = 0
    this.#crashAt('written-back')
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

  /** From nothing but the log, the journal and the store to a running slot at the committed position. */
  async #recover(reason: string): Promise<void> {
    const { plan, log, store, slot } = this.#options
    this.#options.onEvent?.({ kind: 'recovering', reason })
    await this.#letGo()
    await this.#yieldToNewer(this.#generation)
    await store.discard()
    const committer = await log.committer(`weir.${plan.app}.slot-${slot}`)
    try {
      await this.#recoverWith(committer)
    } catch (error) {
      // Nobody else knows of it yet.
      await committer.close()
      throw error
    }
    this.#crashAt('recovered')
  }

  async #recoverWith(committer: LogCommitter): Promise<void> {
    const { plan, log, store, slot } = this.#options
    this.#crashAt('fenced')
    const at = { topic: journalTopicOf(plan.app), partition: slot }
    let storeHash: string | undefined
    let head = await readJournal(log, at, (record, hash) => {
      if (record.epoch === store.reflects?.epoch) storeHash = hash
    })
    if (head !== undefined && store.reflects?.epoch === 0) storeHash = head.genesisHash
    const decision = resolveRecovery({
      journal: head && { lastEpoch: head.last?.epoch ?? 0, fingerprint: (head.last ?? head.genesis).fingerprint },
      store: store.reflects,
      journaledHashOfStore: storeHash,
      fingerprint: plan.fingerprint,
      mayBegin: this.#options.genesis !== null,
      acceptOtherFingerprint: this.#options.acceptOtherFingerprint ?? false,
    })
    if (decision.kind === 'refuse') throw new WeirError(decision.code, decision.reason)
    if (decision.kind === 'rebuild' || (decision.kind === 'begin' && decision.discardStore)) await store.reset()
    if (head === undefined) head = await this.#begin(committer)
    const from = decision.kind === 'continue' ? decision.fromEpoch : 0
    const reader = await log.reader(head.genesis.start.map(toPosition))
    try {
      await this.#goLive(committer, reader, head, from)
    } catch (error) {
      await reader.close()
      throw error
    }
  }

  /** I4: whoever was here before fences nobody who came later. @throws WeirError SLOT_FENCED */
  async #yieldToNewer(generation: number): Promise<void> {
    const { plan, log, slot } = this.#options
    if (generation === 0) return
    const head = await readJournal(log, { topic: journalTopicOf(plan.app), partition: slot }, () => {})
    const newest = head?.last?.generation ?? 0
    if (newest > generation) {
      throw new WeirError('SLOT_FENCED', `slot ${slot} has generation ${newest}, this is ${generation}`)
    }
  }

  async #begin(committer: LogCommitter): Promise<JournalHead> {
    const { plan, slot, genesis } = this.#options
    const { app, slots, key_groups, partitions, start, job } = defined(genesis, 'genesis of a new journal')
    // In the order of FORMAT.md, whatever order the runner wrote it in.
    const record: GenesisRecord = {
      v: 1,
      kind: 'genesis',
      app,
      slots,
      slot,
      key_groups,
      partitions,
      start,
      job,
      fingerprint: plan.fingerprint,
    }
    const { bytes, hash } = encodeJournalRecord(record)
    await committer.commit([
      { topic: journalTopicOf(plan.app), partition: slot, records: [{ key: null, value: bytes }] },
    ])
    this.#crashAt('genesis-written')
    return { genesis: record, genesisHash: hash, last: undefined, lastHash: hash }
  }

  /** Replays what the store does not reflect yet: the same operators, outputs suppressed, scoring skipped. */
  async #goLive(committer: LogCommitter, reader: LogReader, head: JournalHead, fromEpoch: number): Promise<void> {
    const { plan, log, store, slot, models } = this.#options
    const start = head.genesis.start
    const pipeline = new Pipeline(plan, store, models, this.#limits, this.phases)
    const clocks = new Clocks(start, this.#options.clock.nowMs())
    const running: Running = {
      committer,
      reader,
      pipeline,
      clocks,
      writers: await Promise.all(
        plan.sinks.map(async sink => new SinkWriter(sink, await log.partitionCount(sink.topic))),
      ),
      deadLetterPartitions: await log.partitionCount(this.#options.deadLetters.topic),
      generation: (head.last?.generation ?? 0) + 1,
      epoch: 0,
      hash: head.genesisHash,
      counts: new Map(),
      watermark: beginningOfTime,
      positions: new Map(start.map(position => [`${position.topic}/${position.partition}`, position])),
    }
    let epochs = 0
    let records = 0
    await readJournal(log, { topic: journalTopicOf(plan.app), partition: slot }, async (record, hash) => {
      if (record.epoch > fromEpoch) {
        records += await this.#replay(running, record)
        epochs++
      }
      this.#advance(running, record, hash)
      if (record.epoch > fromEpoch && store.dirtyBytes >= this.#limits.dirtyBytesMax) await this.#writeBack(running)
      running.counts = new Map(Object.entries(record.counts))
    })
    for (const position of running.positions.values()) {
      const standing = reader.positions().find(p => p.topic === position.topic && p.partition === position.partition)
      if (String(standing?.offset) !== position.offset) reader.seek(toPosition(position))
    }
    assert(running.hash === head.lastHash, "the replay ends at the journal's last record")
    this.#running = running
    this.#generation = running.generation
    this.#recordsSinceWriteBack = records
    if (epochs > 0) this.#options.onEvent?.({ kind: 'replayed', epochs, records })
  }

  async #replay(running: Running, record: EpochRecord): Promise<number> {
    const exclusions = new Map(
      record.excluded.map(at => [
        positionKey(at.topic, at.partition, BigInt(at.offset)),
        { code: 'OPERATOR_EXCEPTION', message: '' },
      ]),
    )
    const input = await rereadEpoch(this.#options.plan, running.reader, record.inputs, exclusions)
    record.inputs.forEach((expected, i) => {
      const read = input.ranges[i]
      if (read === undefined || read.crc32 !== expected.crc32 || read.to !== expected.to) {
        throw new WeirError(
          'JOURNAL_CORRUPT',
          `epoch ${record.epoch} read ${expected.topic}/${expected.partition} from ${expected.from} to ${expected.to}, and the log holds other records there now`,
        )
      }
    })
    await running.pipeline.run(input.rows, { watermark: advanced(running.watermark, record.clocks) }, 'suppressed')
    return input.records
  }

  async #letGo(): Promise<void> {
    const running = this.#running
    this.#running = undefined
    if (running === undefined) return
    await running.reader.close()
    await running.committer.close()
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

const toPosition = (at: PartitionOffset): Position => ({
  topic: at.topic,
  partition: at.partition,
  offset: BigInt(at.offset) as Position['offset'],
})
