/** Transactions: their coordinator, identities and ends. */
import type { BrokerAddress } from './cluster.js'
import { byTopic, type Request, readByTopic, request } from './request.js'

export const findTransactionCoordinator = request<
  { readonly transactionalId: string },
  { errorCode: number; broker: BrokerAddress }
>({
  name: 'FindCoordinator',
  key: 10,
  version: 3,
  write(to, { transactionalId }) {
    to.string(transactionalId).int8(1).tags()
  },
  read(from) {
    from.int32() // throttle time
    const errorCode = from.int16()
    from.nullableString() // message
    return { errorCode, broker: { id: from.int32(), host: from.string(), port: from.int32() } }
  },
})

export interface ProducerIdentity {
  readonly producerId: number
  readonly producerEpoch: number
}

export const initProducerId = request<
  { readonly transactionalId: string; readonly timeoutMs: number },
  { errorCode: number } & ProducerIdentity
>({
  name: 'InitProducerId',
  key: 22,
  version: 4,
  write(to, { transactionalId, timeoutMs }) {
    to.string(transactionalId).int32(timeoutMs).int64(-1).int16(-1).tags()
  },
  read(from) {
    from.int32() // throttle time
    return { errorCode: from.int16(), producerId: from.int64(), producerEpoch: from.int16() }
  },
})

export interface TransactionArgs extends ProducerIdentity {
  readonly transactionalId: string
}

export const addPartitionsToTransaction = request<
  TransactionArgs & { readonly partitions: readonly { readonly topic: string; readonly partition: number }[] },
  { topic: string; partition: number; errorCode: number }[]
>({
  name: 'AddPartitionsToTxn',
  key: 24,
  version: 3,
  write(to, { transactionalId, producerId, producerEpoch, partitions }) {
    to.string(transactionalId)
      .int64(producerId)
      .int16(producerEpoch)
      .array(byTopic(partitions), ([topic, parts]) => {
        to.string(topic)
          .array(parts, ({ partition }) => to.int32(partition))
          .tags()
      })
      .tags()
  },
  read(from) {
    from.int32() // throttle time
    return readByTopic(from, topic => ({ topic, partition: from.int32(), errorCode: from.int16() }))
  },
})

type EndAnswer = { errorCode: number; next: ProducerIdentity | undefined }

/** Version 5 answers the identity of the next transaction (KIP-890). */
const endTransaction = (version: 3 | 5): Request<TransactionArgs & { readonly commit: boolean }, EndAnswer> => ({
  name: 'EndTxn',
  key: 26,
  version,
  write(to, { transactionalId, producerId, producerEpoch, commit }) {
    to.string(transactionalId).int64(producerId).int16(producerEpoch).bool(commit).tags()
  },
  read(from) {
    from.int32() // throttle time
    const errorCode = from.int16()
    const next = version === 5 ? { producerId: from.int64(), producerEpoch: from.int16() } : undefined
    return { errorCode, next }
  },
})

export const endTransaction3 = endTransaction(3)
export const endTransaction5 = endTransaction(5)
