/** Administration of topics. */
import type { WireReader } from '../wire.js'
import { readByTopic, request } from './request.js'

export interface CreateTopicArgs {
  readonly topic: string
  readonly partitions: number
  readonly replication: number
  readonly config: Readonly<Record<string, string>>
  readonly timeoutMs: number
}

interface TopicChanged {
  readonly errorCode: number
  readonly message: string | null
}

/** What became of the one topic that was asked for. @param skipRest of what is said of it */
function readChanged(from: WireReader, skipRest?: () => void): TopicChanged {
  from.int32() // throttle time
  const [changed] = from.array(() => {
    from.string() // topic
    const answer = { errorCode: from.int16(), message: from.nullableString() }
    skipRest?.()
    from.tags()
    return answer
  })
  if (changed === undefined) throw new RangeError('the answer lacks the topic')
  return changed
}

export const createTopics = request<CreateTopicArgs, TopicChanged>({
  name: 'CreateTopics',
  key: 19,
  version: 5,
  write(to, { topic, partitions, replication, config, timeoutMs }) {
    to.array([topic], () => {
      to.string(topic)
        .int32(partitions)
        .int16(replication)
        .array([], () => {}) // the cluster assigns the replicas
        .array(Object.entries(config), ([name, value]) => to.string(name).string(value).tags())
        .tags()
    })
      .int32(timeoutMs)
      .bool(false)
      .tags()
  },
  read(from) {
    return readChanged(from, () => {
      from.int32() // partitions
      from.int16() // replication
      from.array(() => {
        from.string()
        from.nullableString()
        from.bool()
        from.int8()
        from.bool()
        from.tags()
      })
    })
  },
})

/** More partitions for a topic: `partitions` is how many it then has. */
export const createPartitions = request<
  { readonly topic: string; readonly partitions: number; readonly timeoutMs: number },
  TopicChanged
>({
  name: 'CreatePartitions',
  key: 37,
  version: 2,
  write(to, { topic, partitions, timeoutMs }) {
    to.array([topic], () => {
      to.string(topic)
        .int32(partitions)
        .array(null, () => {}) // the cluster assigns the replicas
        .tags()
    })
      .int32(timeoutMs)
      .bool(false)
      .tags()
  },
  read(from) {
    return readChanged(from)
  },
})

export const deleteRecords = request<
  { readonly topic: string; readonly partition: number; readonly before: number; readonly timeoutMs: number },
  { lowWatermark: number; errorCode: number }
>({
  name: 'DeleteRecords',
  key: 21,
  version: 2,
  write(to, { topic, partition, before, timeoutMs }) {
    to.array([topic], () => {
      to.string(topic)
        .array([partition], () => to.int32(partition).int64(before).tags())
        .tags()
    })
      .int32(timeoutMs)
      .tags()
  },
  read(from) {
    from.int32() // throttle time
    const [deleted] = readByTopic(from, () => {
      from.int32() // partition
      return { lowWatermark: from.int64(), errorCode: from.int16() }
    })
    if (deleted === undefined) throw new RangeError('the answer lacks the partition')
    return deleted
  },
})

export interface DescribedConfig {
  readonly errorCode: number
  readonly values: ReadonlyMap<string, string | null>
}

/** The configuration of a topic, the broker's defaults included. `names` of null: all of it. */
export const describeTopicConfig = request<
  { readonly topic: string; readonly names: string[] | null },
  DescribedConfig
>({
  name: 'DescribeConfigs',
  key: 32,
  version: 4,
  write(to, { topic, names }) {
    to.array([topic], () => {
      to.int8(2) // a topic
        .string(topic)
        .array(names, name => to.string(name))
        .tags()
    })
      .bool(false)
      .bool(false)
      .tags()
  },
  read(from) {
    from.int32() // throttle time
    const [described] = from.array(() => {
      const errorCode = from.int16()
      from.nullableString() // message
      from.int8() // kind
      from.string() // topic
      const values = from.array(() => {
        const entry = [from.string(), from.nullableString()] as const
        from.bool() // read only
        from.int8() // source
        from.bool() // sensitive
        from.array(() => {}) // synonyms, not asked for
        from.int8() // type
        from.nullableString() // documentation
        from.tags()
        return entry
      })
      from.tags()
      return { errorCode, values: new Map(values) }
    })
    if (described === undefined) throw new RangeError('the answer lacks the topic')
    return described
  },
})
