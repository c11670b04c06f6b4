/** Reading and writing records. */
import type { WireReader } from '../wire.js'
import { byTopic, type Request, readByTopic, request } from './request.js'

export const earliestOffset = -2
export const latestOffset = -1

export interface ListedOffset {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly offset: number
}

export interface ListOffsetsArgs {
  readonly topic: string
  readonly partition: number
  readonly leaderEpoch: number
  readonly timestamp: number
  readonly committedOnly: boolean
}

export const listOffsets = request<ListOffsetsArgs, ListedOffset>({
  name: 'ListOffsets',
  key: 2,
  version: 6,
  write(to, { topic, partition, leaderEpoch, timestamp, committedOnly }) {
    to.int32(-1)
      .int8(committedOnly ? 1 : 0)
      .array([topic], () => {
        to.string(topic)
          .array([partition], () => to.int32(partition).int32(leaderEpoch).int64(timestamp).tags())
          .tags()
      })
      .tags()
  },
  read(from) {
    from.int32() // throttle time
    const [listed] = readByTopic(from, topic => {
      const partition = from.int32()
      const errorCode = from.int16()
      from.int64() // timestamp
      const offset = from.int64()
      from.int32() // leader epoch
      return { topic, partition, errorCode, offset }
    })
    from.tags()
    if (listed === undefined) throw new RangeError('the answer lacks the partition')
    return listed
  },
})

export interface FetchPartition {
  readonly topic: string
  readonly partition: number
  readonly leaderEpoch: number
  readonly offset: number
  /** Epoch of the record before `offset`, -1 when unknown: the broker then tells when its log has diverged. */
  readonly lastEpoch: number
  readonly bytesMax: number
}

export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
}

export interface FetchedPartition {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly logStart: number
  /** Where the log of the broker ends for the epoch asked about; set when it has diverged from what was read. */
  readonly divergesAt: number | undefined
  readonly aborted: readonly AbortedTransaction[]
  /** Record batches back to back; the last one may be cut off. */
  readonly records: Buffer | null
}

export interface FetchArgs {
  readonly waitMsMax: number
  readonly bytesMax: number
  readonly partitions: readonly FetchPartition[]
}

export const fetch = request<FetchArgs, { errorCode: number; partitions: FetchedPartition[] }>({
  name: 'Fetch',
  key: 1,
  version: 12,
  write(to, { waitMsMax, bytesMax, partitions }) {
    to.int32(-1) // no replica
      .int32(waitMsMax)
      .int32(1)
      .int32(bytesMax)
      .int8(1) // read_committed
      .int32(0) // no session
      .int32(-1)
      .array(byTopic(partitions), ([topic, asked]) => {
        to.string(topic)
          .array(asked, at => {
            to.int32(at.partition)
              .int32(at.leaderEpoch)
              .int64(at.offset)
              .int32(at.lastEpoch)
              .int64(-1) // log start, for followers
              .int32(at.bytesMax)
              .tags()
          })
          .tags()
      })
      .array([], () => {}) // nothing forgotten
      .string('') // no rack
      .tags()
  },
  read(from) {
    from.int32() // throttle time
    const errorCode = from.int16()
    from.int32() // session
    const partitions = from
      .array(() => {
        const topic = from.string()
        const fetched = from.array(() => readFetched(from, topic))
        from.tags()
        return fetched
      })
      .flat()
    return { errorCode, partitions }
  },
})

function readFetched(from: WireReader, topic: string): FetchedPartition {
  const head = {
    topic,
    partition: from.int32(),
    errorCode: from.int16(),
    highWatermark: from.int64(),
    lastStableOffset: from.int64(),
    logStart: from.int64(),
  }
  const aborted = from.array(() => {
    const transaction = { producerId: from.int64(), firstOffset: from.int64() }
    from.tags()
    return transaction
  })
  from.int32() // preferred replica
  const records = from.blob()
  let divergesAt: number | undefined
  from.tags((tag, field) => {
    if (tag !== 0) return
    field.int32() // epoch
    divergesAt = field.int64()
  })
  return { ...head, divergesAt, aborted, records }
}

export interface ProduceArgs {
  readonly transactionalId: string | null
  readonly timeoutMs: number
  /** One record batch for each partition. */
  readonly batches: readonly { readonly topic: string; readonly partition: number; readonly bytes: Buffer }[]
}

export interface ProducedPartition {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly errorMessage: string | null
  readonly baseOffset: number
}

/** Version 12 adds the partitions to the transaction by itself (KIP-890); the layout is that of 9. */
const produce = (version: 9 | 12): Request<ProduceArgs, ProducedPartition[]> => ({
  name: 'Produce',
  key: 0,
  version,
  write(to, { transactionalId, timeoutMs, batches }) {
    to.string(transactionalId)
      .int16(-1) // acks of all replicas in sync
      .int32(timeoutMs)
      .array(byTopic(batches), ([topic, parts]) => {
        to.string(topic)
          .array(parts, ({ partition, bytes }) => to.int32(partition).blob(bytes).tags())
          .tags()
      })
      .tags()
  },
  read(from) {
    return readByTopic(from, topic => {
      const partition = from.int32()
      const errorCode = from.int16()
      const baseOffset = from.int64()
      from.int64() // append time
      from.int64() // log start
      const recordErrors = from.array(() => {
        from.int32() // index in the batch
        const message = from.nullableString()
        from.tags()
        return message
      })
      const message = from.nullableString()
      return { topic, partition, errorCode, errorMessage: recordErrors.find(Boolean) ?? message, baseOffset }
    })
  },
})

export const produce9 = produce(9)
export const produce12 = produce(12)
