/** What a client asks of the cluster as a whole. */
import { request } from './request.js'

export interface ApiVersions {
  readonly errorCode: number
  readonly ranges: ReadonlyMap<number, { readonly min: number; readonly max: number }>
  /** Level of each finalised feature, such as transaction.version. */
  readonly features: ReadonlyMap<string, number>
}

export const apiVersions = request<{ readonly software: string }, ApiVersions>({
  name: 'ApiVersions',
  key: 18,
  version: 3,
  plainHeader: true,
  write(to, { software }) {
    to.string(software).string('1').tags()
  },
  read(from) {
    const errorCode = from.int16()
    const ranges = new Map(
      from.array(() => {
        const entry = [from.int16(), { min: from.int16(), max: from.int16() }] as const
        from.tags()
        return entry
      }),
    )
    from.int32() // throttle time
    let features = new Map<string, number>()
    from.tags((tag, field) => {
      if (tag !== 2) return
      features = new Map(
        field.array(() => {
          const entry = [field.string(), field.int16()] as const
          field.int16() // lowest level
          field.tags()
          return entry
        }),
      )
    })
    return { errorCode, ranges, features }
  },
})

export interface BrokerAddress {
  readonly id: number
  readonly host: string
  readonly port: number
}

export interface PartitionMetadata {
  readonly errorCode: number
  readonly partition: number
  /** -1: none. */
  readonly leader: number
  readonly leaderEpoch: number
  readonly replicas: readonly number[]
}

export interface TopicMetadata {
  readonly errorCode: number
  readonly topic: string
  readonly partitions: readonly PartitionMetadata[]
}

export interface Metadata {
  readonly brokers: readonly BrokerAddress[]
  readonly controller: number
  readonly topics: readonly TopicMetadata[]
}

export const metadata = request<{ readonly topics: readonly string[] }, Metadata>({
  name: 'Metadata',
  key: 3,
  version: 9,
  write(to, { topics }) {
    to.array(topics, topic => to.string(topic).tags())
      .bool(false) // no topic is created by asking for it
      .bool(false)
      .bool(false)
      .tags()
  },
  read(from) {
    from.int32() // throttle time
    const brokers = from.array(() => {
      const broker = { id: from.int32(), host: from.string(), port: from.int32() }
      from.nullableString() // rack
      from.tags()
      return broker
    })
    from.nullableString() // cluster
    const controller = from.int32()
    const topics = from.array(() => {
      const errorCode = from.int16()
      const topic = from.string()
      from.bool() // internal
      const partitions = from.array(() => {
        const partition = {
          errorCode: from.int16(),
          partition: from.int32(),
          leader: from.int32(),
          leaderEpoch: from.int32(),
          replicas: from.array(() => from.int32()),
        }
        from.array(() => from.int32()) // in sync
        from.array(() => from.int32()) // offline
        from.tags()
        return partition
      })
      from.int32() // authorized operations
      from.tags()
      return { errorCode, topic, partitions: partitions.sort((a, b) => a.partition - b.partition) }
    })
    return { brokers, controller, topics }
  },
})
