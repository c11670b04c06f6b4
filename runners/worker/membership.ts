/**
 * Membership in the worker group `weir.<app>`, by kafkajs. The group hands out slots; it never reads a record: the
 * partitions of what a slot owns are assigned, so that Kafka's own tools show them, and paused before the first fetch.
 *
 * Invariants: 1. a slot that stays is not told so: it keeps running through a rebalance; 2. `fresh` is true only while the
 * coordinator has answered within half the session time-out: a slot is (re)initialised only then (I4); 3. offsets are
 * committed as a courtesy to lag tools; nothing rests on them.
 */
import type { Clock, DurationMs } from '../../kernel/index.js'
import { messageOf, millis, seconds } from '../../kernel/index.js'
import type { PartitionOffset } from '../slot/index.js'
import { type Assigned, assignSlots, assignStandbys, eligible, type GroupMember, type MemberNote } from './assigner.js'
import { AssignerProtocol, type Consumer, Kafka, type KafkaConfig } from './kafkajs.js'

const { MemberAssignment, MemberMetadata } = AssignerProtocol

const sessionTimeout = seconds(10)
const heartbeatEvery = millis(500)
const rejoinPause = millis(500)
const protocolName = 'weir-slots-1'

/** An assignment is looked up as often as this before it counts as one without standbys. */
const lookUpsMax = 5
const lookUpPause = millis(200)

export interface MembershipOptions {
  readonly kafka: KafkaConfig
  readonly groupId: string
  /** The journal's topic as Kafka knows it; its partition n is slot n. */
  readonly journalTopic: string
  /** Input topics as Kafka knows them, with their partition counts: partition p belongs to slot p mod slots. */
  readonly inputs: readonly { readonly topic: string; readonly partitions: number }[]
  readonly clock: Clock
  readonly note: () => MemberNote
  readonly onAssigned: (assigned: Assigned) => void
  readonly onTrouble: (message: string) => void
}

export class Membership {
  readonly #options: MembershipOptions
  #consumer: Consumer | undefined
  #answeredAtMs = Number.NEGATIVE_INFINITY
  #assigned: Assigned = { slots: [], standbys: [] }
  /** Of assignments: one that has been overtaken by another is of no interest any more. */
  #joins = 0
  #stopped = false
  #rejoining: Promise<void> = Promise.resolve()

  constructor(options: MembershipOptions) {
    this.#options = options
  }

  get fresh(): boolean {
    return !this.#stopped && this.#options.clock.nowMs() - this.#answeredAtMs < sessionTimeout / 2
  }

  /** Joins; goes on trying in the background when that fails. */
  async start(): Promise<void> {
    await this.#join()
  }

  /** Offsets of the next records to read. */
  async commit(positions: readonly PartitionOffset[]): Promise<void> {
    if (this.#consumer === undefined || !this.fresh || positions.length === 0) return
    await this.#consumer.commitOffsets(positions.map(({ topic, partition, offset }) => ({ topic, partition, offset })))
  }

  /** Leaves the group, so that the others need not wait for a time-out. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#rejoining
    await this.#consumer?.disconnect()
    this.#consumer = undefined
  }

  async #join(): Promise<void> {
    const { groupId, journalTopic, inputs } = this.#options
    const consumer = new Kafka(this.#options.kafka).consumer({
      groupId,
      // A topic that somebody deleted must be missed, not come back empty with the broker's own settings.
      allowAutoTopicCreation: false,
      sessionTimeout,
      rebalanceTimeout: sessionTimeout,
      heartbeatInterval: heartbeatEvery,
      maxWaitTimeInMs: 100,
      partitionAssigners: [() => this.#assigner()],
      // What kafkajs would try again by itself with long pauses is begun anew here.
      retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 3, restartOnFailure: async () => false },
    })
    this.#consumer = consumer
    consumer.on('consumer.heartbeat', () => this.#answered())
    consumer.on('consumer.group_join', ({ payload }) => {
      this.#answered()
      const assignment = payload.memberAssignment as Readonly<Record<string, readonly number[]>>
      consumer.pause(Object.entries(assignment).map(([topic, partitions]) => ({ topic, partitions: [...partitions] })))
      const slots = [...(assignment[journalTopic] ?? [])].sort((a, b) => a - b)
      void this.#joined(consumer, payload.memberId, slots)
    })
    consumer.on('consumer.crash', ({ payload }) => this.#rejoin(consumer, payload.error))
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [journalTopic, ...inputs.map(({ topic }) => topic)] })
      await consumer.run({ autoCommit: false, eachBatch: async () => {} })
    } catch (error) {
      this.#rejoin(consumer, error)
    }
  }

  async #joined(consumer: Consumer, memberId: string, slots: readonly number[]): Promise<void> {
    const join = ++this.#joins
    const standbys = await this.#standbysOf(consumer, memberId, () => join !== this.#joins || this.#stopped)
    if (join !== this.#joins || this.#stopped) return
    // What is not known stays: a standby too many costs little.
    const kept = this.#assigned.standbys.filter(slot => !slots.includes(slot))
    this.#assigned = { slots, standbys: standbys ?? kept }
    this.#options.onAssigned(this.#assigned)
  }

  /** The coordinator is asked: kafkajs shows of an assignment the partitions alone. @returns undefined when it does not say */
  async #standbysOf(
    consumer: Consumer,
    memberId: string,
    isOver: () => boolean,
  ): Promise<readonly number[] | undefined> {
    if (this.#options.note().standbys === 0) return []
    for (let lookUp = 1; !isOver(); lookUp++) {
      try {
        const { members } = await consumer.describeGroup()
        const ours = members.find(member => member.memberId === memberId)?.memberAssignment
        if (ours !== undefined && ours.length > 0) return standbysIn(MemberAssignment.decode(ours)?.userData)
      } catch (error) {
        if (isOver()) return undefined
        if (lookUp === lookUpsMax) this.#options.onTrouble(messageOf(error))
      }
      if (lookUp === lookUpsMax) return undefined
      await this.#options.clock.sleep(lookUpPause)
    }
    return undefined
  }

  #answered(): void {
    this.#answeredAtMs = this.#options.clock.nowMs()
  }

  /** Once for each consumer: it may tell of its failure twice, and a second new one would belong to nobody. */
  #rejoin(failed: Consumer, error: unknown): void {
    if (this.#stopped || this.#consumer !== failed) return
    this.#options.onTrouble(messageOf(error))
    this.#consumer = undefined
    this.#rejoining = (async () => {
      // It may never have been connected, or lost its connection long ago.
      await failed.disconnect().catch((reason: unknown) => this.#options.onTrouble(messageOf(reason)))
      await this.#options.clock.sleep(rejoinPause)
      if (!this.#stopped) await this.#join()
    })()
  }

  #assigner() {
    return {
      name: protocolName,
      version: 1,
      protocol: ({ topics }: { topics: string[] }) => ({
        name: protocolName,
        metadata: MemberMetadata.encode({ version: 1, topics, userData: encodeNote(this.#options.note()) }),
      }),
      assign: async ({ members }: { members: readonly { memberId: string; memberMetadata: Buffer }[] }) => {
        const group = members.map(({ memberId, memberMetadata }) => ({
          id: memberId,
          ...decodeNote(MemberMetadata.decode(memberMetadata)?.userData, this.#options.note()),
        }))
        const { members: able, slots: count } = eligible(group)
        const owned = assignSlots(able, count)
        const standbys = assignStandbys(able, owned)
        return group.map(({ id: memberId }) => ({
          memberId,
          memberAssignment: MemberAssignment.encode({
            version: 1,
            assignment: this.#partitionsOf(owned.get(memberId) ?? [], count),
            userData: Buffer.from(JSON.stringify({ standbys: standbys.get(memberId) ?? [] })),
          }),
        }))
      },
    }
  }

  #partitionsOf(slots: readonly number[], count: number): Record<string, number[]> {
    const { journalTopic, inputs } = this.#options
    if (slots.length === 0) return {}
    const assignment: Record<string, number[]> = { [journalTopic]: [...slots] }
    for (const { topic, partitions } of inputs) {
      assignment[topic] = Array.from({ length: partitions }, (_, p) => p).filter(p => slots.includes(p % count))
    }
    return assignment
  }
}

function encodeNote({ stored, ...note }: MemberNote): Buffer {
  return Buffer.from(JSON.stringify({ ...note, stored: [...stored] }))
}

function standbysIn(bytes: Buffer | undefined): readonly number[] {
  if (bytes === undefined || bytes.length === 0) return []
  return (JSON.parse(bytes.toString('utf8')) as { readonly standbys?: readonly number[] }).standbys ?? []
}

/**
 * A member of another version says what this one does not know: it then counts as one without slots, of the first plan.
 * @param ours says how many slots that has, where the member does not
 */
function decodeNote(bytes: Buffer | undefined, ours: MemberNote): Omit<GroupMember, 'id'> {
  const stored = new Map<number, number>()
  const none = {
    threads: 1,
    running: [],
    following: [],
    stored,
    standbys: 0,
    plan: 1,
    slots: ours.slots,
    closes: false,
  }
  if (bytes === undefined || bytes.length === 0) return none
  const note = JSON.parse(bytes.toString('utf8')) as Partial<Omit<MemberNote, 'stored'>> & {
    readonly stored?: readonly (readonly [number, number])[]
  }
  return { ...none, ...note, stored: new Map(note.stored) }
}

export const sessionTimeoutMs: DurationMs = sessionTimeout
