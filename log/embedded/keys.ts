/** Keys of the embedded log in the shared database; FORMAT.md lists them. Numbers are big-endian, so that they sort. */
import { assert } from '../../kernel/index.js'

/** First byte of every key of the log: 'L'. State and the decision view have others. */
export const keyspace = 0x4c

const kind = {
  entry: 0x62, // 'b'
  committer: 0x63, // 'c'
  earliest: 0x65, // 'e'
  sync: 0x73, // 's'
  topic: 0x74, // 't'
  version: 0x76, // 'v'
} as const

export const partitionKeyBytes = 10
export const entryKeyBytes = partitionKeyBytes + 8

export const versionKey = Buffer.of(keyspace, kind.version)
export const syncKey = Buffer.of(keyspace, kind.sync)
export const topicKey = (topic: string): Buffer => named(kind.topic, topic)
export const committerKey = (id: string): Buffer => named(kind.committer, id)

const named = (of: number, name: string): Buffer => Buffer.concat([Buffer.of(keyspace, of), Buffer.from(name, 'utf8')])
/** The name in a topic or committer key. */
export const nameIn = (key: Buffer): string => key.toString('utf8', 2)

export const topicRange = rangeOf(kind.topic)
export const committerRange = rangeOf(kind.committer)
export const earliestRange = rangeOf(kind.earliest)

function rangeOf(of: number): { gte: Buffer; lt: Buffer } {
  return { gte: Buffer.of(keyspace, of), lt: Buffer.of(keyspace, of + 1) }
}

function partitionKey(of: number, topicId: number, partition: number, bytes: number): Buffer {
  const key = Buffer.alloc(bytes)
  key[0] = keyspace
  key[1] = of
  key.writeUInt32BE(topicId, 2)
  key.writeUInt32BE(partition, 6)
  return key
}

export const earliestKey = (topicId: number, partition: number): Buffer =>
  partitionKey(kind.earliest, topicId, partition, partitionKeyBytes)

/** `topic id/partition` of a partition's key. */
export const partitionIn = (key: Buffer): string => `${key.readUInt32BE(2)}/${key.readUInt32BE(6)}`

/** An entry's key ends with its last offset: the first key not below offset x is the entry that holds x. */
export function entryKey(topicId: number, partition: number, lastOffset: number): Buffer {
  const key = partitionKey(kind.entry, topicId, partition, entryKeyBytes)
  setLastOffset(key, lastOffset)
  return key
}

/** Changes the offset of an entry key in place. */
export function setLastOffset(key: Buffer, lastOffset: number): void {
  assert(lastOffset >= 0 && Number.isSafeInteger(lastOffset), `offset ${lastOffset}`)
  key.writeUInt32BE(Math.floor(lastOffset / 2 ** 32), partitionKeyBytes)
  key.writeUInt32BE(lastOffset % 2 ** 32, partitionKeyBytes + 4)
}

export function lastOffsetIn(key: Buffer): number {
  return key.readUInt32BE(partitionKeyBytes) * 2 ** 32 + key.readUInt32BE(partitionKeyBytes + 4)
}

/** Above every entry key of the partition: offsets stay below 2^53. */
export const entriesEnd = (topicId: number, partition: number): Buffer => entryKey(topicId, partition, 2 ** 53 - 1)
