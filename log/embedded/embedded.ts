/**
 * The embedded log: partitions, transactions and fencing over one ordered database that the process owns.
 *
 * Invariants:
 * 1. A transaction is one batch: all of it survives or none (I1). It is synchronous, and the write-ahead log is a prefix,
 *    so every input appended before is durable too.
 * 2. Of each committer id one generation is live, the latest; the others fail with SLOT_FENCED (I4).
 * 3. A committer whose commit failed is dead (I5).
 * 4. Offsets of a partition have no gaps and survive opening again; they never repeat, also after a trim.
 * The database stays with who opened it: `close` leaves it open.
 *
 * Measured on RocksDB, two shared cores, records of 410 bytes, CPU of RocksDB's own threads included: append 35 to 60 us
 * for a call of one record, 4 us a record with 50 calls at once, 1.3 to 2.3 in batches of 100, 1.4 to 1.9 of 4,096; poll 0.3
 * to 0.5 us a record in batches of 4,096, 3 to 6 where they were appended one by one; a synchronous commit 0.4 to 1.4 ms.
 */
import { AssertionError, assert, type Clock, systemClock, WeirError } from '../../kernel/index.js'
import {
  checkPosition,
  Doorbell,
  EntryReader,
  type EntrySource,
  type Records,
  systemTimer,
  type Timer,
  TopicTable,
} from '../entries/index.js'
import type {
  Append,
  Log,
  LogCommitter,
  LogProducer,
  LogRange,
  LogReader,
  LogTrimmer,
  Offset,
  Position,
  TopicPartition,
} from '../port.js'
import { offset } from '../port.js'
import { type EmbeddedDb, scan } from './db.js'
import {
  committerKey,
  committerRange,
  earliestRange,
  nameIn,
  partitionIn,
  topicKey,
  topicRange,
  versionKey,
} from './keys.js'
import {
  compactBelow,
  decodeNumbers,
  deleteBelow,
  type EmbeddedPartition,
  encodeNumbers,
  endOfEntries,
  putEarliest,
  readEntries,
} from './partition.js'
import { Tail } from './tail.js'
import { type Staging, Writer } from './writer.js'

const formatVersion = 1

export interface EmbeddedLogOptions {
  readonly db: EmbeddedDb
  /** Gives the log timestamps. */
  readonly clock?: Clock
  /** Ends waiting polls. */
  readonly timer?: Timer
  /** Commits survive a power cut. False for replay, whose input can be read again (design §4); then only a crash. */
  readonly syncCommits?: boolean
}

export class EmbeddedLog implements Log, LogProducer, LogTrimmer {
  readonly totalOrder = false
  readonly #db: EmbeddedDb
  readonly #bell = new Doorbell()
  readonly #writer: Writer
  readonly #topics = new TopicTable<EmbeddedPartition>()
  readonly #generations = new Map<string, number>()
  readonly #source: EntrySource<EmbeddedPartition>
  readonly #syncCommits: boolean
  #nextTopicId = 1
  #closed = false

  private constructor(options: EmbeddedLogOptions) {
    const { db, clock = systemClock, timer = systemTimer, syncCommits = true } = options
    this.#db = db
    this.#syncCommits = syncCommits
    this.#writer = new Writer(db, this.#bell, () => clock.nowMs())
    this.#source = {
      partition: at => this.#topics.partition(at),
      read: (partition, from, until, entriesMax) => readEntries(db, partition, from, until, entriesMax),
      bell: this.#bell,
      timer,
      isClosed: () => this.#closed,
    }
  }

  /** @throws WeirError STATE_FORMAT when a newer version wrote the log, LOG_CORRUPT */
  static async open(options: EmbeddedLogOptions): Promise<EmbeddedLog> {
    const log = new EmbeddedLog(options)
    await log.#load()
    return log
  }

  async createTopic(topic: string, partitions: number): Promise<void> {
    this.#assertOpen()
    if (this.#topics.has(topic, partitions)) return
    await this.#writer.submit(true, ({ batch }) => {
      if (this.#topics.has(topic, partitions)) return
      const topicId = this.#nextTopicId++
      batch.put(topicKey(topic), encodeNumbers(topicId, partitions))
      // Known before it is durable: whoever writes to it meanwhile is written after it, or fails with it.
      this.#topics.add(topic, newPartitions(topic, topicId, partitions))
    })
  }

  async partitionCount(topic: string): Promise<number> {
    return this.#topics.partitions(topic).length
  }

  async range(at: TopicPartition): Promise<LogRange> {
    return this.#topics.range(at)
  }

  async reader(from: readonly Position[]): Promise<LogReader> {
    this.#assertOpen()
    return new EntryReader(this.#source, from)
  }

  async committer(id: string): Promise<LogCommitter> {
    this.#assertOpen()
    const generation = await this.#writer.submit(true, ({ batch }) => {
      const next = (this.#generations.get(id) ?? 0) + 1
      batch.put(committerKey(id), encodeNumbers(next))
      this.#generations.set(id, next)
      return next
    })
    return new EmbeddedCommitter(id, generation, (appends, of) => this.#commit(appends, of))
  }

  append(appends: readonly Append[]): Promise<readonly Offset[]> {
    this.#assertOpen()
    return this.#writer.submit(false, into => this.#stage(appends, into))
  }

  sync(): Promise<void> {
    this.#assertOpen()
    return this.#writer.submit(true, () => undefined)
  }

  async trim(before: Position): Promise<void> {
    this.#assertOpen()
    const partition = this.#topics.partition(before)
    const earliest = Number(before.offset)
    if (earliest > partition.latest) checkPosition(partition, earliest)
    // First the bound, then the entries: after a crash in between the next trim finds them.
    await this.#writer.submit(true, ({ batch }) => {
      if (earliest <= partition.earliest) return
      putEarliest(batch, partition, earliest)
      partition.earliest = earliest
    })
    await deleteBelow(this.#db, partition, keys =>
      this.#writer.submit(false, ({ batch }) => {
        for (const key of keys) batch.delete(key)
      }),
    )
    await compactBelow(this.#db, partition)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#bell.ring()
    await this.#writer.idle()
  }

  async #commit(appends: readonly Append[], by: { id: string; generation: number }): Promise<readonly Offset[]> {
    this.#assertOpen()
    return await this.#writer.submit(this.#syncCommits, into => {
      const live = this.#generations.get(by.id)
      if (live !== by.generation) {
        throw new WeirError('SLOT_FENCED', `${by.id} has generation ${live}, this is ${by.generation}`)
      }
      return this.#stage(appends, into)
    })
  }

  /** Nothing is staged when one of the partitions is unknown. */
  #stage(appends: readonly Append[], into: Staging): Offset[] {
    const partitions = appends.map(append => this.#topics.partition(append))
    return appends.map((append, i) => offset(into.append(partitions[i]!, append.records satisfies Records)))
  }

  async #load(): Promise<void> {
    await this.#checkVersion()
    for await (const { key, value } of scan(this.#db, committerRange.gte, committerRange.lt)) {
      const id = nameIn(key)
      this.#generations.set(id, decodeNumbers(`committer ${id}`, value, 1)[0]!)
    }
    const trimmedTo = new Map<string, number>()
    for await (const { key, value } of scan(this.#db, earliestRange.gte, earliestRange.lt)) {
      const at = partitionIn(key)
      trimmedTo.set(at, decodeNumbers(`partition ${at}`, value, 1)[0]!)
    }
    for await (const { key, value } of scan(this.#db, topicRange.gte, topicRange.lt)) {
      await this.#loadTopic(nameIn(key), value, trimmedTo)
    }
  }

  async #checkVersion(): Promise<void> {
    const [stored] = await this.#db.range({ gte: versionKey, lt: Buffer.concat([versionKey, Buffer.of(0)]), limit: 1 })
    if (stored === undefined) {
      await this.#writer.submit(true, ({ batch }) => batch.put(versionKey, encodeNumbers(formatVersion)))
      return
    }
    const [version] = decodeNumbers('the format version', stored.value, 1)
    if (version !== formatVersion) {
      throw new WeirError('STATE_FORMAT', `the embedded log has format ${version}, this version knows ${formatVersion}`)
    }
  }

  async #loadTopic(topic: string, value: Buffer, trimmedTo: ReadonlyMap<string, number>): Promise<void> {
    const [topicId, partitions] = decodeNumbers(`topic ${topic}`, value, 2) as [number, number]
    this.#nextTopicId = Math.max(this.#nextTopicId, topicId + 1)
    const opened = newPartitions(topic, topicId, partitions)
    await Promise.all(
      opened.map(async partition => {
        partition.earliest = trimmedTo.get(`${topicId}/${partition.partition}`) ?? 0
        partition.compactedTo = partition.earliest
        const end = await endOfEntries(this.#db, topicId, partition.partition)
        partition.latest = Math.max(partition.earliest, end ?? 0)
        partition.next = partition.latest
      }),
    )
    this.#topics.add(topic, opened)
  }

  #assertOpen(): void {
    assert(!this.#closed, 'the log is open')
  }
}

function newPartitions(topic: string, topicId: number, partitions: number): EmbeddedPartition[] {
  return Array.from({ length: partitions }, (_, partition) => ({
    topic,
    partition,
    topicId,
    earliest: 0,
    latest: 0,
    next: 0,
    deletedTo: 0,
    compactedTo: 0,
    tail: new Tail(),
  }))
}

class EmbeddedCommitter implements LogCommitter {
  readonly id: string
  readonly generation: number
  readonly #write: (appends: readonly Append[], by: EmbeddedCommitter) => Promise<readonly Offset[]>
  #dead: unknown
  #busy = false

  constructor(
    id: string,
    generation: number,
    write: (appends: readonly Append[], by: EmbeddedCommitter) => Promise<readonly Offset[]>,
  ) {
    this.id = id
    this.generation = generation
    this.#write = write
  }

  async commit(appends: readonly Append[]): Promise<readonly Offset[]> {
    if (this.#dead !== undefined) throw this.#dead
    assert(!this.#busy, 'one transaction at a time')
    this.#busy = true
    try {
      return await this.#write(appends, this)
    } catch (error) {
      this.#dead = error
      throw error
    } finally {
      this.#busy = false
    }
  }

  close(): Promise<void> {
    this.#dead ??= new AssertionError('the committer is open')
    return Promise.resolve()
  }
}
