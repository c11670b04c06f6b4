/** The whole fraud topology over a log in memory, by slots of which each has a store and checkpoints that outlive it. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { defaultTopology, generate } from '../../../fraud/index.js'
import { type Clock, type DurationMs, days, positiveMurmur2 } from '../../../kernel/index.js'
import { offset } from '../../../log/index.js'
import { MemoryDisk, MemoryLog } from '../../../log/memory/index.js'
import { labelJson, type RecordDecoder, transactionJson } from '../../../schemas/avro/index.js'
import {
  Catalogue,
  Checkpointer,
  type CheckpointStore,
  DeltaSpool,
  type StateBackend,
  MemoryDisk as StateDisk,
  StateStore,
} from '../../../state/index.js'
import { compile, type Plan, type SourceFormat, type Topology } from '../../../topology/index.js'
import { genesisOf, journalTopicOf, Slot } from '../../slot/index.js'

export const startMs = Date.UTC(2024, 0, 1)
export const keyGroups = 64

const format = <T>(name: string, decoder: RecordDecoder<T>): SourceFormat<T> => ({
  name,
  decode: (bytes, start, end) => decoder.decode(bytes, start, end),
})

export const fraudTopology = (): Topology =>
  defaultTopology({
    transactions: format('transaction-value', transactionJson({ cardKey: 'key' })),
    labels: format('label-value', labelJson()),
    model: null,
  })

export interface Sent {
  readonly atMs: number
  readonly topic: string
  readonly key: string
  readonly value: object
}

/** Weeks of few customers and terminals, with repeats, and labels a day or ten later. */
export function history(weeks: number): readonly Sent[] {
  const sent: Sent[] = []
  let n = 0
  for (const one of generate({ customers: 4, terminals: 6, days: 7 * weeks, radius: 100, seed: 5 })) {
    const { transactionId, customerId, terminalId, eventTime, amountMinor } = one
    const ids = {
      transaction_id: transactionId,
      customer_id: customerId,
      terminal_id: terminalId,
      event_time: eventTime,
    }
    const transaction = { ...ids, amount_minor: amountMinor, currency: 'EUR' }
    const times = ++n % 13 === 0 ? 2 : 1
    for (let i = 0; i < times; i++)
      sent.push({ atMs: eventTime, topic: 'transactions', key: customerId, value: transaction })
    if (n % 3 > 0) continue
    const available_at = eventTime + days(n % 2 === 0 ? 1 : 10)
    const label = one.fraud || n % 6 === 0 ? 'fraud' : 'legitimate'
    const value = { ...ids, label, label_source: 'chargeback', available_at }
    sent.push({ atMs: available_at, topic: 'labels', key: customerId, value })
  }
  return sent.sort((a, b) => a.atMs - b.atMs)
}

/** Where a slot's checkpoints go, and its spool. */
export interface Places {
  readonly store: CheckpointStore
  readonly directory: string
}

interface Machine {
  readonly backend: StateBackend
  readonly slot: Slot
  readonly spool: DeltaSpool | undefined
  readonly checkpointer: Checkpointer | undefined
}

export class Fold {
  readonly plan: Plan
  readonly log: MemoryLog
  readonly #clock: Clock
  readonly #partitions: number
  readonly #places: Places | undefined
  readonly #machines: Machine[] = []
  #nowMs = startMs
  #spools = 0

  private constructor(app: Topology, slots: number, partitions: number, places: Places | undefined) {
    this.#clock = { nowMs: () => this.#nowMs, sleep: async () => undefined }
    this.plan = compile(app.graph, { slots, partitions })
    this.log = new MemoryLog(new MemoryDisk(), { clock: this.#clock })
    this.#partitions = partitions
    this.#places = places
  }

  static async start(app: Topology, slots: number, partitions: number, places?: Places): Promise<Fold> {
    const fold = new Fold(app, slots, partitions, places)
    const { plan, log } = fold
    for (const { topic } of [...plan.sources, ...plan.sinks]) await log.createTopic(topic, partitions)
    await log.createTopic(journalTopicOf(plan.app), slots)
    await log.createTopic('dead-letters', 1)
    for (let slot = 0; slot < slots; slot++) fold.#machines.push(await fold.#open(slot))
    return fold
  }

  async #open(number: number): Promise<Machine> {
    const { plan, log } = this
    const places = this.#places
    const backend = new StateDisk().open()
    const spool =
      places &&
      (await DeltaSpool.open({ directory: join(places.directory, `spool-${this.#spools++}`), onDropped: assert.fail }))
    const checkpointer =
      places &&
      spool &&
      new Checkpointer({
        store: places.store,
        app: plan.app,
        slot: number,
        backend,
        spool,
        clock: this.#clock,
        everyMs: 0,
        onEvent: event => assert.ok(!event.kind.endsWith('failed'), JSON.stringify(event)),
      })
    const catalogue = places && new Catalogue(places.store, plan.app, number)
    const slot = new Slot({
      plan,
      slot: number,
      log,
      store: await StateStore.open({ backend, keyGroups, ...(spool && { spool }) }),
      ...(catalogue && checkpointer && { checkpoints: { catalogue, checkpointer, backend } }),
      models: new Map(),
      clock: this.#clock,
      limits: { pollWaitMs: 0 as DurationMs, epochsPerWriteBackMax: 8 },
      genesis: genesisOf(plan, number, { keyGroups, partitionsOf: () => this.#partitions }),
      deadLetters: { topic: 'dead-letters', encode: letter => assert.fail(JSON.stringify(letter)) },
      syncState: true,
    })
    await slot.start()
    return { backend, slot, spool, checkpointer }
  }

  /** One after the other: between two of them all slots come to rest. */
  async send(all: readonly Sent[]): Promise<void> {
    for (const { atMs, topic, key, value } of all) {
      this.#nowMs = Math.max(this.#nowMs, atMs)
      const partition = positiveMurmur2(Buffer.from(key)) % this.#partitions
      const records = [{ key: Buffer.from(key), value: Buffer.from(JSON.stringify(value)) }]
      await this.log.append([{ topic, partition, records }])
      await this.#drain()
    }
  }

  async #drain(): Promise<void> {
    for (let idle = 0; idle < this.#machines.length; ) {
      idle = 0
      for (const { slot } of this.#machines) if ((await slot.step()).kind === 'idle') idle++
      for (const { checkpointer } of this.#machines) await checkpointer?.idle()
    }
  }

  /** The slot's process and disk are lost; another one takes it up from what is shared. */
  async lose(slot: number): Promise<void> {
    await this.#close(this.#machines[slot]!, false)
    this.#machines[slot] = await this.#open(slot)
  }

  async #close({ slot, checkpointer, spool }: Machine, keepState: boolean): Promise<void> {
    await slot.close({ keepState })
    await checkpointer?.close()
    await spool?.close()
  }

  /** Lets all slots write back and go. @returns their stores */
  async close(): Promise<readonly StateBackend[]> {
    for (const machine of this.#machines) await this.#close(machine, true)
    return this.#machines.map(({ backend }) => backend)
  }

  /** Of all partitions, in their order. */
  async decisions(): Promise<readonly string[]> {
    const found: string[] = []
    for (let partition = 0; partition < this.#partitions; partition++) {
      const reader = await this.log.reader([{ topic: 'decisions', partition, offset: offset(0) }])
      for (;;) {
        const batches = await reader.poll({ recordsMax: 1_000, bytesMax: 1 << 24, waitMsMax: 0 as DurationMs })
        if (batches.length === 0) break
        for (const { bytes, count, valueStart, valueEnd } of batches) {
          for (let i = 0; i < count; i++) found.push(bytes.toString('utf8', valueStart[i], valueEnd[i]))
        }
      }
      await reader.close()
    }
    return found
  }
}
