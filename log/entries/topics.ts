/** Which topics there are, and the bounds of their partitions. */
import { assert, WeirError } from '../../kernel/index.js'
import type { LogRange, TopicPartition } from '../port.js'
import { offset } from '../port.js'

/** Offsets are numbers in here: they stay below 2^53. Bounds move only by their log. */
export interface PartitionBounds extends TopicPartition {
  /** Positions below are gone. */
  earliest: number
  /** Positions below are readable; a poll never looks past it. */
  latest: number
}

export class TopicTable<P extends PartitionBounds> {
  readonly #topics = new Map<string, readonly P[]>()

  get names(): readonly string[] {
    return [...this.#topics.keys()]
  }

  add(topic: string, partitions: readonly P[]): void {
    assert(!this.#topics.has(topic), `topic ${topic} is new`)
    this.#topics.set(topic, partitions)
  }

  /** More partitions, behind those that there are. */
  grow(topic: string, more: readonly P[]): void {
    this.#topics.set(topic, [...this.partitions(topic), ...more])
  }

  /**
   * True when the topic exists with this many partitions, false when it does not exist.
   * @throws WeirError TOPIC_MISMATCH
   */
  has(topic: string, partitions: number): boolean {
    assert(Number.isSafeInteger(partitions) && partitions > 0, `${topic} with ${partitions} partitions`)
    const existing = this.#topics.get(topic)
    if (existing !== undefined && existing.length !== partitions) {
      throw new WeirError('TOPIC_MISMATCH', `${topic} has ${existing.length} partitions, not ${partitions}`)
    }
    return existing !== undefined
  }

  /** @throws WeirError UNKNOWN_TOPIC */
  partitions(topic: string): readonly P[] {
    const partitions = this.#topics.get(topic)
    if (partitions === undefined) throw new WeirError('UNKNOWN_TOPIC', `there is no topic ${topic}`)
    return partitions
  }

  /** @throws WeirError UNKNOWN_TOPIC */
  partition(at: TopicPartition): P {
    const partitions = this.partitions(at.topic)
    const partition = partitions[at.partition]
    if (partition === undefined) {
      throw new WeirError(
        'UNKNOWN_TOPIC',
        `${at.topic} has ${partitions.length} partitions, none with number ${at.partition}`,
      )
    }
    return partition
  }

  range(at: TopicPartition): LogRange {
    const { earliest, latest } = this.partition(at)
    return { earliest: offset(earliest), latest: offset(latest) }
  }
}

/** @throws WeirError OFFSET_OUT_OF_RANGE */
export function checkPosition(at: PartitionBounds, position: number): void {
  if (position >= at.earliest && position <= at.latest) return
  throw new WeirError(
    'OFFSET_OUT_OF_RANGE',
    `${at.topic}/${at.partition} has offsets ${at.earliest} to ${at.latest}, not ${position}`,
  )
}
