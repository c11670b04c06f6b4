/**
 * Sends record batches to the leaders of their partitions, all leaders at once.
 *
 * Invariants:
 * 1. It resolves only when every batch handed in has a successful answer for its very partition (I1). kafkajs skips
 *    partitions when it tries again after a leader has moved, and reports success.
 * 2. A batch is sent again only when the broker has refused it before it appended anything, with the same sequence. After
 *    a lost connection, a time-out, or an error that does not say, the outcome is unknown: it fails (I5).
 */
import { assert, WeirError } from '../../kernel/index.js'
import type { Cluster } from './cluster.js'
import type { BrokerConnection, Connections } from './connections.js'
import { code, isFenced, isTemporary, nameOf, refusal } from './error-codes.js'
import { type BrokerAddress, produce9, produce12 } from './requests/index.js'
import { ConnectionLost, Patience } from './retry.js'

export interface Outgoing {
  readonly topic: string
  readonly partition: number
  readonly bytes: Buffer
}

export interface ProduceAs {
  readonly transactionalId: string | null
  /** With Produce v12 the broker adds the partitions to the transaction. */
  readonly addsPartitions: boolean
}

interface Pending {
  readonly batch: Outgoing
  readonly index: number
}

/** What a round left to be sent again, and why. */
interface Refused {
  readonly pending: readonly Pending[]
  readonly why: string
  readonly brief: boolean
}

/**
 * @param batches at most one for each partition
 * @returns the offset of the first record of each batch
 * @throws WeirError SLOT_FENCED, MESSAGE_TOO_LARGE, KAFKA_REFUSED: nothing of these batches will be seen;
 *   KAFKA_UNAVAILABLE: as much, past the bound of attempts; COMMIT_INDEFINITE
 */
export async function produceAll(
  cluster: Cluster,
  connections: Connections,
  as: ProduceAs,
  batches: readonly Outgoing[],
): Promise<number[]> {
  const patience = new Patience(cluster.settings)
  const offsets = batches.map(() => -1)
  let pending: readonly Pending[] = batches.map((batch, index) => ({ batch, index }))
  while (pending.length > 0) {
    const { pending: left, why, brief } = await round(cluster, connections, as, pending, offsets)
    pending = left
    if (left.length === 0) break
    if (!(await patience.again(brief))) throw new WeirError('KAFKA_UNAVAILABLE', why)
    if (!brief) await refresh(cluster)
  }
  assert(!offsets.includes(-1), 'every batch has its offset')
  return offsets
}

async function round(
  cluster: Cluster,
  connections: Connections,
  as: ProduceAs,
  pending: readonly Pending[],
  offsets: number[],
): Promise<Refused> {
  const groups = new Map<number, { broker: BrokerAddress; pending: Pending[] }>()
  const homeless: Pending[] = []
  for (const item of pending) {
    const leader = cluster.leader(item.batch.topic, item.batch.partition)
    if (leader === undefined) {
      homeless.push(item)
      continue
    }
    const group = groups.get(leader.broker.id)
    if (group === undefined) groups.set(leader.broker.id, { broker: leader.broker, pending: [item] })
    else group.pending.push(item)
  }
  // All have ended before an error is thrown: nothing of this transaction is under way any more.
  const settled = await Promise.allSettled(
    [...groups.values()].map(group => toLeader(cluster, connections, as, group.broker, group.pending, offsets)),
  )
  const refused: Refused[] = []
  if (homeless.length > 0) refused.push({ pending: homeless, why: 'a partition has no leader', brief: false })
  for (const result of settled) {
    if (result.status === 'rejected') throw result.reason
    refused.push(result.value)
  }
  const left = refused.filter(({ pending }) => pending.length > 0)
  return {
    pending: left.flatMap(({ pending }) => pending),
    why: left.map(({ why }) => why).join('; '),
    brief: left.every(({ brief }) => brief),
  }
}

async function toLeader(
  cluster: Cluster,
  connections: Connections,
  as: ProduceAs,
  broker: BrokerAddress,
  pending: readonly Pending[],
  offsets: number[],
): Promise<Refused> {
  let connection: BrokerConnection
  try {
    connection = await connections.to(broker)
  } catch (error) {
    if (!(error instanceof ConnectionLost)) throw error
    return { pending, why: error.message, brief: false } // nothing was sent
  }
  const answers = await ask(cluster, connection, as, pending)
  const left: Pending[] = []
  const reasons: number[] = []
  for (const item of pending) {
    const { topic, partition } = item.batch
    const answer = answers.find(candidate => candidate.topic === topic && candidate.partition === partition)
    const where = `Produce to ${topic}/${partition}`
    if (answer === undefined) throw new WeirError('COMMIT_INDEFINITE', `${where}: the answer lacks it`)
    const { errorCode, errorMessage, baseOffset } = answer
    if (errorCode === code.none) offsets[item.index] = baseOffset
    else if (isFenced(errorCode)) throw new WeirError('SLOT_FENCED', `${where}: ${nameOf(errorCode)}`)
    else if (isTemporary(errorCode)) {
      left.push(item)
      reasons.push(errorCode)
    } else {
      throw (
        refusal(errorCode, where, errorMessage) ??
        new WeirError('COMMIT_INDEFINITE', `${where}: ${nameOf(errorCode)}${errorMessage ? `, ${errorMessage}` : ''}`)
      )
    }
  }
  return {
    pending: left,
    why: `Produce to broker ${broker.id}: ${[...new Set(reasons)].map(nameOf).join(', ')}`,
    brief: reasons.every(reason => reason === code.concurrentTransactions),
  }
}

async function ask(cluster: Cluster, connection: BrokerConnection, as: ProduceAs, pending: readonly Pending[]) {
  try {
    return await connection.request(as.addsPartitions ? produce12 : produce9, {
      transactionalId: as.transactionalId,
      timeoutMs: cluster.settings.limits.requestMsMax,
      batches: pending.map(({ batch }) => batch),
    })
  } catch (error) {
    if (!(error instanceof ConnectionLost)) throw error
    throw new WeirError('COMMIT_INDEFINITE', error.message)
  }
}

async function refresh(cluster: Cluster): Promise<void> {
  try {
    await cluster.refresh()
  } catch (error) {
    // The next attempt meets the same trouble, and counts it.
    if (!(error instanceof ConnectionLost)) throw error
  }
}
