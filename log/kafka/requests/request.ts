/**
 * The requests that Weir sends, each in one version: its layout both ways, as Kafka's protocol guide has it. All are in
 * Kafka 2.8 and later.
 */
import type { WireReader, WireWriter } from '../wire.js'

export interface Request<Args, Answer> {
  readonly name: string
  readonly key: number
  readonly version: number
  write(to: WireWriter, args: Args): void
  read(from: WireReader): Answer
  /** ApiVersions alone answers without tags in its header, so that clients of every age can read it. */
  readonly plainHeader?: true
}

/** Builds a request from its parts; only for inference. */
export const request = <Args, Answer>(parts: Request<Args, Answer>): Request<Args, Answer> => parts

/** The partitions of a request, grouped by topic as the protocol has them. */
export function byTopic<T extends { readonly topic: string }>(
  items: readonly T[],
): (readonly [string, readonly T[]])[] {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(item.topic)
    if (group === undefined) groups.set(item.topic, [item])
    else group.push(item)
  }
  return [...groups]
}

/** Reads the two levels that most answers have: topics, and in each its partitions. */
export function readByTopic<T>(from: WireReader, readPartition: (topic: string) => T): T[] {
  return from
    .array(() => {
      const topic = from.string()
      const partitions = from.array(() => {
        const partition = readPartition(topic)
        from.tags()
        return partition
      })
      from.tags()
      return partitions
    })
    .flat()
}
