/**
 * One transactional id of a slot: its coordinator, its producer id and epoch, and the sequences of its records.
 *
 * Invariants:
 * 1. After `fence` resolved, every older owner of the id is refused, its open transaction is aborted, and the markers of
 *    its last one are written: whoever reads now sees all that it ever committed (I4).
 * 2. `end` asks again only when the coordinator has answered that it could not yet, and only for the same transaction: no
 *    request of it is under way when the next one begins (I5).
 */
import { WeirError } from '../../kernel/index.js'
import type { Cluster } from './cluster.js'
import type { BrokerConnection, Connections } from './connections.js'
import { code, isFenced, isTemporary, nameOf, refusal } from './error-codes.js'
import type { ProduceAs } from './produce.js'
import type { BatchProducer } from './records/encode.js'
import {
  addPartitionsToTransaction,
  type BrokerAddress,
  endTransaction3,
  endTransaction5,
  findTransactionCoordinator,
  initProducerId,
  type ProducerIdentity,
} from './requests/index.js'
import { ConnectionLost, Patience, retried, TemporaryError } from './retry.js'

/** transaction.version from which brokers add partitions by themselves and answer the next epoch (KIP-890). */
const addsPartitionsVersion = 2
const sequences = 2 ** 31

export class TransactionalIdentity {
  readonly transactionalId: string
  readonly #cluster: Cluster
  readonly #connections: Connections
  #coordinator: BrokerAddress | undefined
  #identity: ProducerIdentity = { producerId: -1, producerEpoch: -1 }
  /** Next sequence of each partition; begun anew whenever the identity changes. */
  readonly #sequences = new Map<string, number>()
  #addsPartitions = false

  constructor(transactionalId: string, cluster: Cluster, connections: Connections) {
    this.transactionalId = transactionalId
    this.#cluster = cluster
    this.#connections = connections
  }

  get producesAs(): ProduceAs {
    return { transactionalId: this.transactionalId, addsPartitions: this.#addsPartitions }
  }

  /** @throws WeirError KAFKA_UNAVAILABLE, KAFKA_REFUSED */
  async fence(): Promise<void> {
    const { transactionalId } = this
    const { settings } = this.#cluster
    await retried(settings, `InitProducerId of ${transactionalId}`, async () => {
      const connection = await this.#atCoordinator()
      const timeoutMs = settings.limits.transactionMsMax
      const { errorCode, ...identity } = await connection.request(initProducerId, { transactionalId, timeoutMs })
      if (errorCode !== code.none) {
        this.#forgetMoved(errorCode)
        if (isTemporary(errorCode) || isFenced(errorCode)) {
          throw new TemporaryError(nameOf(errorCode), errorCode === code.concurrentTransactions)
        }
        const what = `InitProducerId of ${transactionalId}`
        throw refusal(errorCode, what) ?? new WeirError('KAFKA_REFUSED', `${what}: ${nameOf(errorCode)}`)
      }
      this.#become(identity)
      this.#addsPartitions = settings.transactions !== 'v1' && connection.transactionVersion >= addsPartitionsVersion
    })
  }

  /** The identity for a batch of `count` records to the partition, whose sequences it uses up. */
  batchProducer(key: string, count: number): BatchProducer {
    const sequence = this.#sequences.get(key) ?? 0
    this.#sequences.set(key, (sequence + count) % sequences)
    return { ...this.#identity, sequence, transactional: true }
  }

  /**
   * Adds all partitions to the transaction with one request; nothing to do where the brokers do it. kafkajs sends one for
   * each, which collide.
   * @throws WeirError SLOT_FENCED, KAFKA_REFUSED, KAFKA_UNAVAILABLE, COMMIT_INDEFINITE
   */
  async addPartitions(partitions: readonly { readonly topic: string; readonly partition: number }[]): Promise<void> {
    if (this.#addsPartitions) return
    const args = { transactionalId: this.transactionalId, ...this.#identity, partitions }
    await this.#asked('AddPartitionsToTxn', async connection => {
      const answers = await connection.request(addPartitionsToTransaction, args)
      const codes = answers.map(({ errorCode }) => errorCode)
      if (answers.length < partitions.length)
        throw new ConnectionLost('AddPartitionsToTxn: the answer lacks a partition')
      // One refusal and the others are not attempted (55): the reason is what counts.
      return codes.find(found => found !== code.none && found !== operationNotAttempted) ?? code.none
    })
  }

  /**
   * Commits the transaction: it is decided, though its markers are still being written, when this resolves.
   * @throws WeirError SLOT_FENCED: it will never be seen; COMMIT_INDEFINITE
   */
  async commit(): Promise<void> {
    const args = { transactionalId: this.transactionalId, ...this.#identity, commit: true }
    const request = this.#addsPartitions ? endTransaction5 : endTransaction3
    let next: ProducerIdentity | undefined
    await this.#asked('EndTxn', async connection => {
      const answer = await connection.request(request, args)
      next = answer.next
      return answer.errorCode
    })
    if (next !== undefined) this.#become(next)
  }

  /**
   * Asks the coordinator, again while it answers that it cannot yet. A coordinator that moves may have done what it could
   * not confirm: being fenced after such an answer says nothing about the outcome.
   */
  async #asked(what: string, ask: (connection: BrokerConnection) => Promise<number>): Promise<void> {
    const patience = new Patience(this.#cluster.settings)
    const where = `${what} of ${this.transactionalId}`
    let mayBeDone = false
    for (;;) {
      const errorCode = await this.#once(where, ask)
      if (errorCode === code.none) return
      const text = `${where}: ${nameOf(errorCode)}`
      if (isFenced(errorCode)) throw new WeirError(mayBeDone ? 'COMMIT_INDEFINITE' : 'SLOT_FENCED', text)
      if (!isTemporary(errorCode)) throw refusal(errorCode, where) ?? new WeirError('COMMIT_INDEFINITE', text)
      const brief = errorCode === code.concurrentTransactions
      if (!brief && errorCode !== code.coordinatorLoading) mayBeDone = true
      this.#forgetMoved(errorCode)
      if (!(await patience.again(brief))) throw new WeirError('COMMIT_INDEFINITE', text)
    }
  }

  async #once(where: string, ask: (connection: BrokerConnection) => Promise<number>): Promise<number> {
    try {
      return await ask(await this.#atCoordinator())
    } catch (error) {
      if (error instanceof TemporaryError) return code.coordinatorNotAvailable
      if (!(error instanceof ConnectionLost)) throw error
      throw new WeirError('COMMIT_INDEFINITE', `${where}: ${error.message}`)
    }
  }

  async #atCoordinator(): Promise<BrokerConnection> {
    const { transactionalId } = this
    if (this.#coordinator === undefined) {
      const { errorCode, broker } = await this.#cluster.anyBroker(connection =>
        connection.request(findTransactionCoordinator, { transactionalId }),
      )
      if (errorCode !== code.none) {
        throw refusal(errorCode, `the coordinator of ${transactionalId}`) ?? new TemporaryError(nameOf(errorCode))
      }
      this.#coordinator = broker
    }
    try {
      return await this.#connections.to(this.#coordinator)
    } catch (error) {
      this.#coordinator = undefined
      throw error
    }
  }

  #forgetMoved(errorCode: number): void {
    if (errorCode === code.notCoordinator || errorCode === code.coordinatorNotAvailable) this.#coordinator = undefined
  }

  #become(identity: ProducerIdentity): void {
    const { producerId, producerEpoch } = this.#identity
    if (producerId === identity.producerId && producerEpoch === identity.producerEpoch) return
    this.#identity = identity
    this.#sequences.clear()
  }
}

/** Of a partition in a request of which another partition was refused. */
const operationNotAttempted = 55
