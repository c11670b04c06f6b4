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

/** What a leader says of one batch. */
export type Answer =
  | { readonly kind: 'written'; readonly offset: number }
  /** Before anything was appended: it may be sent again, with the same sequence. */
  | { readonly kind: 'refused'; readonly why: string; readonly brief: boolean }
  | { readonly kind: 'failed'; readonly error: unknown }

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
  let pending = batches.map((_, index) => index)
  while (pending.length > 0) {
    const sent = pending.map(index => batches[index]!)
    const why = new Set<string>()
    let brief = true
    const left: number[] = []
    // All have ended before an error is thrown: nothing of this transaction is under way any more.
    for (const [i, answer] of (await Promise.all(askLeaders(cluster, connections, as, sent))).entries()) {
      if (answer.kind === 'failed') throw answer.error
      if (answer.kind === 'written') offsets[pending[i]!] = answer.offset
      else {
        left.push(pending[i]!)
        why.add(answer.why)
        brief &&= answer.brief
      }
    }
    pending = left
    if (left.length === 0) break
    await tryAgain(cluster, patience, brief, [...why].join('; '))
  }
  assert(!offsets.includes(-1), 'every batch has its offset')
  return offsets
}

/** Waits before what was refused is sent again. @throws WeirError KAFKA_UNAVAILABLE past the bound of attempts */
export async function tryAgain(cluster: Cluster, patience: Patience, brief: boolean, why: string): Promise<void> {
  if (!(await patience.again(brief))) throw new WeirError('KAFKA_UNAVAILABLE', why)
  if (!brief) await refresh(cluster)
}

/**
 * One request to each leader.
 * @param batches at most one for each partition
 * @returns for each batch its answer, as soon as its leader has given it; none rejects
 */
export function askLeaders(
  cluster: Cluster,
  connections: Connections,
  as: ProduceAs,
  batches: readonly Outgoing[],
): Promise<Answer>[] {
  const requests = new Map<number, { readonly broker: BrokerAddress; readonly batches: Outgoing[] }>()
  const places = batches.map(batch => {
    const leader = cluster.leader(batch.topic, batch.partition)
    if (leader === undefined) return undefined
    const request = requests.get(leader.broker.id) ?? { broker: leader.broker, batches: [] }
    requests.set(leader.broker.id, request)
    return { id: leader.broker.id, at: request.batches.push(batch) - 1 }
  })
  const answers = new Map(
    [...requests].map(([id, request]) => [id, askLeader(cluster, connections, as, request.broker, request.batches)]),
  )
  return places.map(
    async (place): Promise<Answer> =>
      place === undefined
        ? { kind: 'refused', why: 'a partition has no leader', brief: false }
        : (await answers.get(place.id)!)[place.at]!,
  )
}

async function askLeader(
  cluster: Cluster,
  connections: Connections,
  as: ProduceAs,
  broker: BrokerAddress,
  batches: readonly Outgoing[],
): Promise<readonly Answer[]> {
  try {
    const connection = await connections.to(broker)
    const answers = await ask(cluster, connection, as, batches)
    return batches.map(({ topic, partition }) => {
      const where = `Produce to ${topic}/${partition}`
      const answer = answers.find(each => each.topic === topic && each.partition === partition)
      if (answer === undefined) return indefinite(`${where}: the answer lacks it`)
      return answerOf(answer, where, broker)
    })
  } catch (error) {
    return batches.map(() =>
      // Nothing was sent.
      error instanceof ConnectionLost
        ? { kind: 'refused', why: error.message, brief: false }
        : { kind: 'failed', error },
    )
  }
}

function answerOf(
  { errorCode, errorMessage, baseOffset }: Awaited<ReturnType<typeof ask>>[number],
  where: string,
  broker: BrokerAddress,
): Answer {
  if (errorCode === code.none) return { kind: 'written', offset: baseOffset }
  const name = nameOf(errorCode)
  if (isFenced(errorCode)) return { kind: 'failed', error: new WeirError('SLOT_FENCED', `${where}: ${name}`) }
  if (isTemporary(errorCode)) {
    const why = `Produce to broker ${broker.id}: ${name}`
    return { kind: 'refused', why, brief: errorCode === code.concurrentTransactions }
  }
  const refused = refusal(errorCode, where, errorMessage)
  if (refused !== undefined) return { kind: 'failed', error: refused }
  return indefinite(`${where}: ${name}${errorMessage ? `, ${errorMessage}` : ''}`)
}

const indefinite = (what: string): Answer => ({ kind: 'failed', error: new WeirError('COMMIT_INDEFINITE', what) })

/** @throws WeirError COMMIT_INDEFINITE */
async function ask(cluster: Cluster, connection: BrokerConnection, as: ProduceAs, batches: readonly Outgoing[]) {
  try {
    return await connection.request(as.addsPartitions ? produce12 : produce9, {
      transactionalId: as.transactionalId,
      timeoutMs: cluster.settings.limits.requestMsMax,
      batches,
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
