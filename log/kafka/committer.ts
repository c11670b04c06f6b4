/**
 * A slot's committer: transactions under two transactional ids in turn, strictly one at a time.
 *
 * Invariants:
 * 1. Both ids are fenced before it exists (I4): of two owners that overlap, the older one can neither begin nor end
 *    anything once the newer one has its committer.
 * 2. EndTxn is asked only after every batch of every partition has a successful answer (I1).
 * 3. After a commit that failed, whatever the reason, it is dead: its connections are closed, and nothing of it is used
 *    again (I5). Its next owner's fencing aborts or awaits what it left behind.
 *
 * Why two ids: the broker lets a transaction begin only when the markers of the last one of the same id are written. In
 * turn, they are written while the other id's transaction runs (docs/decisions/0007-kafka-data-path.md).
 *
 *     ready --commit--> producing --all answered--> ending --committed--> ready
 *       |                   |                          |
 *       +------close--------+-----------+--------------+---> closed
 *                           +--failure--+--> dead --close--> closed
 */
import { AssertionError, assert, isWeirError, messageOf, WeirError } from '../../kernel/index.js'
import { type Append, type LogCommitter, type Offset, offset } from '../port.js'
import type { Cluster } from './cluster.js'
import type { Connections } from './connections.js'
import { keyOf } from './cursor.js'
import { TransactionalIdentity } from './identity.js'
import { type Outgoing, produceAll } from './produce.js'
import { BatchEncoder, checkSizes, countOf, type Records } from './records/encode.js'

type State = 'ready' | 'producing' | 'ending' | 'dead' | 'closed'

const transitions: Readonly<Record<State, readonly State[]>> = {
  ready: ['producing', 'closed'],
  producing: ['ending', 'dead', 'closed'],
  ending: ['ready', 'dead', 'closed'],
  dead: ['closed'],
  closed: [],
}

/** What the log wants to know. */
export interface CommitterEvents {
  /** `end`: one past the last record that the commit wrote to the partition. */
  committed(topic: string, partition: number, end: number): void
  closed(): void
}

/** What a transaction appends to one partition. */
interface Target {
  readonly topic: string
  readonly partition: number
  readonly key: string
  readonly bytesMax: number
  readonly lists: Records[]
  /** How far its records are sent: list and record. */
  list: number
  record: number
}

/** Where the first record of an append stands among its target's records. */
interface Place {
  readonly target: number
  readonly record: number
}

/** A batch in the log. */
interface Written {
  readonly base: number
  readonly count: number
}

export class KafkaCommitter implements LogCommitter {
  readonly id: string
  readonly #cluster: Cluster
  readonly #connections: Connections
  readonly #prefix: string
  readonly #events: CommitterEvents
  readonly #encoders = new Map<string, BatchEncoder>()
  readonly #identities: readonly [TransactionalIdentity, TransactionalIdentity]
  #turn: 0 | 1 = 0
  #begunMs = 0
  #state: State = 'ready'
  #failure: unknown

  private constructor(id: string, cluster: Cluster, prefix: string, events: CommitterEvents) {
    this.id = id
    this.#cluster = cluster
    this.#prefix = prefix
    this.#events = events
    this.#connections = cluster.connections()
    this.#identities = [this.#identity('a'), this.#identity('b')]
  }

  /** Fences every older committer of the id. @throws WeirError KAFKA_UNAVAILABLE, KAFKA_REFUSED */
  static async open(id: string, cluster: Cluster, prefix: string, events: CommitterEvents): Promise<KafkaCommitter> {
    const committer = new KafkaCommitter(id, cluster, prefix, events)
    try {
      // Always a, then b: of two owners that come at once, one is fenced by the other under both ids.
      for (const identity of committer.#identities) await identity.fence()
    } catch (error) {
      await committer.close()
      throw error
    }
    return committer
  }

  async commit(appends: readonly Append[]): Promise<readonly (Offset | undefined)[]> {
    if (this.#state === 'dead') throw this.#failure
    assert(this.#state === 'ready', `the committer is ${this.#state}: one transaction at a time, none after close`)
    this.#to('producing')
    this.#begunMs = this.#cluster.settings.clock.nowMs()
    try {
      const { targets, places } = await this.#targets(appends)
      const written = targets.length === 0 ? [] : await this.#produce(targets)
      this.#to('ending')
      if (targets.length > 0) {
        await this.#identities[this.#turn].commit()
        this.#turn = this.#turn === 0 ? 1 : 0
      }
      this.#to('ready')
      for (const [i, { topic, partition }] of targets.entries()) {
        const { base, count } = written[i]!.at(-1)!
        this.#events.committed(topic, partition, base + count)
      }
      return places.map(place => place && offsetOf(written[place.target]!, place.record))
    } catch (error) {
      throw await this.#die(error)
    }
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    this.#to('closed')
    this.#events.closed()
    await this.#connections.close()
  }

  #identity(letter: 'a' | 'b'): TransactionalIdentity {
    return new TransactionalIdentity(`${this.#prefix}${this.id}-${letter}`, this.#cluster, this.#connections)
  }

  /**
   * The appends by partition, checked: nothing has been sent when one of them cannot be.
   * @throws WeirError UNKNOWN_TOPIC, MESSAGE_TOO_LARGE
   */
  async #targets(
    appends: readonly Append[],
  ): Promise<{ readonly targets: readonly Target[]; readonly places: readonly (Place | undefined)[] }> {
    const targets = new Map<string, Target>()
    const places: (Place | undefined)[] = []
    for (const { topic: name, partition, records } of appends) {
      if (countOf(records) === 0) {
        places.push(undefined)
        continue
      }
      const topic = this.#prefix + name
      const key = keyOf(topic, partition)
      let target = targets.get(key)
      if (target === undefined) {
        await this.#cluster.partition(topic, partition)
        const bytesMax = await this.#cluster.batchBytesMax(topic)
        target = { topic, partition, key, bytesMax, lists: [], list: 0, record: 0 }
        targets.set(key, target)
      }
      checkSizes(topic, records, target.bytesMax)
      const before = target.lists.reduce((sum, list) => sum + countOf(list), 0)
      places.push({ target: [...targets.keys()].indexOf(key), record: before })
      target.lists.push(records)
    }
    return { targets: [...targets.values()], places }
  }

  /** Sends everything, a batch for each partition at a time. @returns for each target its batches, in order */
  async #produce(targets: readonly Target[]): Promise<readonly (readonly Written[])[]> {
    const identity = this.#identities[this.#turn]
    await identity.addPartitions(targets)
    const written = targets.map((): Written[] => [])
    for (;;) {
      const sending: { index: number; count: number; batch: Outgoing }[] = []
      for (const [index, target] of targets.entries()) {
        const encoder = this.#encode(target)
        if (encoder.count === 0) continue
        const producer = identity.batchProducer(target.key, encoder.count)
        const bytes = encoder.finish(producer, this.#begunMs, this.#cluster.checksum)
        const batch = { topic: target.topic, partition: target.partition, bytes }
        sending.push({ index, count: encoder.count, batch })
      }
      if (sending.length === 0) return written
      const batches = sending.map(({ batch }) => batch)
      const offsets = await produceAll(this.#cluster, this.#connections, identity.producesAs, batches)
      for (const [i, { index, count }] of sending.entries()) written[index]!.push({ base: offsets[i]!, count })
    }
  }

  /** Fills the partition's encoder with what comes next. */
  #encode(target: Target): BatchEncoder {
    let encoder = this.#encoders.get(target.key)
    if (encoder === undefined) {
      encoder = new BatchEncoder()
      this.#encoders.set(target.key, encoder)
    }
    encoder.begin(target.bytesMax)
    while (target.list < target.lists.length) {
      const records = target.lists[target.list]!
      target.record = encoder.add(records, target.record)
      if (target.record < countOf(records)) break
      target.list++
      target.record = 0
    }
    return encoder
  }

  /** @returns what to throw: errors that no one expected here leave the outcome open */
  async #die(error: unknown): Promise<unknown> {
    const was = this.#state
    this.#failure = was === 'closed' ? closedDuringCommit() : this.#failureOf(error)
    if (was !== 'closed') this.#to('dead')
    await this.#connections.close()
    return this.#failure
  }

  /**
   * Before EndTxn is asked nothing can have been committed, so what the brokers refused for good is told as it is. All
   * else, brokers that do not come back too, means for the slot: recover from the committed position (I5).
   */
  #failureOf(error: unknown): unknown {
    if (error instanceof AssertionError) return error
    if (!isWeirError(error)) return new WeirError('COMMIT_INDEFINITE', messageOf(error), { cause: error })
    const { clock, limits } = this.#cluster.settings
    if (error.code === 'SLOT_FENCED' && clock.nowMs() - this.#begunMs >= limits.transactionMsMax) {
      // The coordinator fences what is open for too long, and its answer is that of a newer owner.
      const what = `the transaction was open for more than ${limits.transactionMsMax} ms, or there is a newer owner`
      return new WeirError('COMMIT_INDEFINITE', what, { cause: error })
    }
    if (error.code === 'KAFKA_UNAVAILABLE') return new WeirError('COMMIT_INDEFINITE', error.message, { cause: error })
    return error
  }

  #to(next: State): void {
    const allowed = transitions[this.#state]
    if (!allowed.includes(next)) throw new AssertionError(`the committer is ${this.#state}, not to become ${next}`)
    this.#state = next
  }
}

function offsetOf(batches: readonly Written[], record: number): Offset {
  let left = record
  for (const { base, count } of batches) {
    if (left < count) return offset(base + left)
    left -= count
  }
  throw new AssertionError(`record ${record} was written`)
}

const closedDuringCommit = (): WeirError =>
  new WeirError('COMMIT_INDEFINITE', 'the committer was closed during the commit')
