/**
 * The log over a MemoryDisk: the simulation's log, with faults, and the one that tests of other parts use. Everything it
 * does is decided by its calls, its clock and its faults (no randomness, no timers of its own).
 *
 * Invariants: those of the port. After a fault the committer is dead as after any failed commit (I5).
 */
import { AssertionError, assert, assertNever, type Clock, systemClock, WeirError } from '../../kernel/index.js'
import { clockTimer, EntryReader, type EntrySource, systemTimer } from '../entries/index.js'
import type {
  Append,
  Log,
  LogCommitter,
  LogProducer,
  LogRange,
  LogReader,
  LogTrimmer,
  Offset,
  PollLimits,
  Position,
  RecordBatch,
  TopicPartition,
} from '../port.js'
import type { MemoryDisk, MemoryPartition } from './disk.js'
import { type Faults, noFaults } from './faults.js'

export interface MemoryLogOptions {
  /** Gives the log timestamps and ends waiting polls. */
  readonly clock?: Clock
  readonly faults?: Faults
}

export class MemoryLog implements Log, LogProducer, LogTrimmer {
  readonly totalOrder = false
  readonly #disk: MemoryDisk
  readonly #clock: Clock
  readonly #faults: Faults
  readonly #source: EntrySource<MemoryPartition>
  #polls = 0
  #closed = false

  constructor(disk: MemoryDisk, options: MemoryLogOptions = {}) {
    const { clock = systemClock, faults = noFaults } = options
    this.#disk = disk
    this.#clock = clock
    this.#faults = faults
    this.#source = {
      partition: at => disk.topics.partition(at),
      read: async (partition, from, _until, entriesMax) => disk.read(partition, from, entriesMax),
      bell: disk.bell,
      timer: clock === systemClock ? systemTimer : clockTimer(clock),
      isClosed: () => this.#closed,
    }
  }

  async createTopic(topic: string, partitions: number): Promise<void> {
    this.#disk.createTopic(topic, partitions)
  }

  async partitionCount(topic: string): Promise<number> {
    return this.#disk.topics.partitions(topic).length
  }

  async range(at: TopicPartition): Promise<LogRange> {
    return this.#disk.topics.range(at)
  }

  async reader(from: readonly Position[]): Promise<LogReader> {
    this.#assertOpen()
    return new FaultyReader(new EntryReader(this.#source, from), limits => this.#pollFault(limits))
  }

  async committer(id: string): Promise<LogCommitter> {
    this.#assertOpen()
    const fault = this.#faults.committer(id)
    const failure = new WeirError('BACKEND_FAILED', `injected: no committer ${id}`)
    if (fault === 'refused') throw failure
    const generation = this.#disk.fence(id)
    if (fault === 'indefinite') throw failure
    return new MemoryCommitter(this.#disk, this.#clock, this.#faults, id, generation)
  }

  async append(appends: readonly Append[]): Promise<readonly Offset[]> {
    this.#assertOpen()
    return this.#disk.append(appends, this.#clock.nowMs())
  }

  async sync(): Promise<void> {
    this.#disk.sync()
  }

  async trim(before: Position): Promise<void> {
    this.#disk.trim(before)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#disk.bell.ring()
  }

  /** Undefined: return nothing, at once. */
  async #pollFault(limits: PollLimits): Promise<PollLimits | undefined> {
    const fault = this.#faults.poll({ poll: this.#polls++, limits })
    if (fault?.delayMs !== undefined) await this.#clock.sleep(fault.delayMs)
    if (fault?.recordsMax === undefined) return limits
    if (fault.recordsMax === 0) return undefined
    return { ...limits, recordsMax: Math.min(limits.recordsMax, fault.recordsMax) }
  }

  #assertOpen(): void {
    assert(!this.#closed, 'the log is open')
  }
}

class FaultyReader implements LogReader {
  readonly finished = false
  readonly #reader: EntryReader<MemoryPartition>
  readonly #fault: (limits: PollLimits) => Promise<PollLimits | undefined>

  constructor(reader: EntryReader<MemoryPartition>, fault: (limits: PollLimits) => Promise<PollLimits | undefined>) {
    this.#reader = reader
    this.#fault = fault
  }

  async poll(asked: PollLimits): Promise<readonly RecordBatch[]> {
    const limits = await this.#fault(asked)
    return limits === undefined || this.#reader.closed ? [] : this.#reader.poll(limits)
  }

  seek(position: Position): void {
    this.#reader.seek(position)
  }

  positions(): readonly Position[] {
    return this.#reader.positions()
  }

  close(): Promise<void> {
    return this.#reader.close()
  }
}

class MemoryCommitter implements LogCommitter {
  readonly id: string
  readonly generation: number
  readonly #disk: MemoryDisk
  readonly #clock: Clock
  readonly #faults: Faults
  #commits = 0
  #dead: unknown

  constructor(disk: MemoryDisk, clock: Clock, faults: Faults, id: string, generation: number) {
    this.#disk = disk
    this.#clock = clock
    this.#faults = faults
    this.id = id
    this.generation = generation
  }

  async commit(appends: readonly Append[]): Promise<readonly Offset[]> {
    if (this.#dead !== undefined) throw this.#dead
    try {
      return this.#commit(appends)
    } catch (error) {
      this.#dead = error
      throw error
    }
  }

  #commit(appends: readonly Append[]): readonly Offset[] {
    const { id, generation } = this
    this.#disk.checkGeneration(id, generation)
    this.#disk.check(appends)
    const fault = this.#faults.commit({ id, generation, commit: this.#commits++ })
    const indefinite = (): WeirError => new WeirError('COMMIT_INDEFINITE', `injected: ${fault} commit of ${id}`)
    switch (fault) {
      case 'none':
        return this.#disk.commit(id, generation, appends, this.#clock.nowMs())
      case 'refused':
        throw new WeirError('BACKEND_FAILED', `injected: the commit of ${id} was refused`)
      case 'lost':
        throw indefinite()
      case 'applied':
        this.#disk.commit(id, generation, appends, this.#clock.nowMs())
        throw indefinite()
      case 'delayed':
        this.#disk.delay(id, generation, appends, this.#clock.nowMs())
        throw indefinite()
      default:
        return assertNever(fault)
    }
  }

  async close(): Promise<void> {
    this.#dead ??= new AssertionError('the committer is open')
  }
}
