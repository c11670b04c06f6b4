/** Slots that count records over one log in memory, each with a state of its own unless it is given one. */
import { type DurationMs, type EventTimeMs, millis } from '../../../kernel/index.js'
import type { Log } from '../../../log/index.js'
import { type Faults, MemoryDisk, MemoryLog, noFaults } from '../../../log/memory/index.js'
import {
  Catalogue,
  Checkpointer,
  type CheckpointStore,
  DeltaSpool,
  intCodec,
  type MemoryObjects,
  type StateBackend,
  MemoryDisk as StateDisk,
  StateStore,
  type ValueState,
} from '../../../state/index.js'
import { compile, json, toJson, topology } from '../../../topology/index.js'
import type { EpochRecord, GenesisRecord } from '../journal.js'
import type { SlotLimits, SlotOptions } from '../options.js'
import { Slot } from '../slot.js'

interface Counted {
  readonly id: string
  readonly n: number
}

/** Counts all records under one key; throws on 'bad'. */
function counting() {
  const app = topology('counting')
  app
    .source(
      'in',
      json('id', value => String(value)),
      { eventTime: () => 0 as EventTimeMs },
    )
    .keyBy('all', () => 'all')
    .process<Counted, ValueState<number>>('count', {
      state: factory => factory.value('n', intCodec),
      create: ({ state }) => ({
        onRecord(id, _at, out) {
          if (id === 'bad') throw new Error('bad')
          const n = (state.get() ?? 0) + 1
          state.set(n)
          return out.emit({ id, n })
        },
      }),
    })
    .to(
      'out',
      toJson('counted', () => ''),
    )
  return compile(app.graph)
}

/** What outlives a slot that makes checkpoints after each write-back. */
export interface KeptCheckpoints {
  readonly objects: MemoryObjects
  /** What stands between the objects and the slot. */
  readonly seen?: (store: CheckpointStore) => CheckpointStore
  readonly spoolDirectory: string
  /** Kinds of events, and why spools were dropped. */
  readonly told: string[]
  /** Of the last slot that was opened with it. */
  checkpointer?: Checkpointer
  spool?: DeltaSpool
}

export const journal = { topic: 'weir.counting.epochs', partition: 0 }

export class Bench {
  readonly disk: MemoryDisk
  readonly partitions: number
  nowMs = 1_000
  readonly clock = { nowMs: () => this.nowMs, sleep: async () => {} }
  readonly log: MemoryLog

  constructor(partitions = 1, disk?: MemoryDisk) {
    this.partitions = partitions
    this.disk = disk ?? new MemoryDisk()
    this.log = new MemoryLog(this.disk, { clock: this.clock })
    if (disk !== undefined) return
    for (const topic of ['out', 'dead', journal.topic]) this.disk.createTopic(topic, 1)
    this.disk.createTopic('in', partitions)
  }

  async send(ids: readonly (string | null)[], partition = 0): Promise<void> {
    const records = ids.map(id => ({ key: null, value: id === null ? null : Buffer.from(JSON.stringify(id)) }))
    await this.log.append([{ topic: 'in', partition, records }])
  }

  async slot(...given: Parameters<Bench['options']>): Promise<Slot> {
    return new Slot(await this.options(...given))
  }

  async options(
    faults: Partial<Faults> = {},
    limits: Partial<SlotLimits> = {},
    state = new StateDisk(),
    log: Log = new MemoryLog(this.disk, { clock: this.clock, faults: { ...noFaults, ...faults } }),
    kept?: KeptCheckpoints,
    more: (backend: StateBackend) => Partial<SlotOptions> = () => ({}),
  ): Promise<SlotOptions> {
    const backend = state.open()
    const spool =
      kept && (await DeltaSpool.open({ directory: kept.spoolDirectory, onDropped: reason => kept.told.push(reason) }))
    const store = await StateStore.open({ backend, keyGroups: 4, ...(spool && { spool }) })
    const opened = (): CheckpointStore => (kept!.seen ?? (each => each))(kept!.objects.open())
    const checkpoints = kept &&
      spool && {
        backend,
        catalogue: new Catalogue(opened(), 'counting', 0),
        checkpointer: new Checkpointer({
          store: opened(),
          app: 'counting',
          slot: 0,
          backend,
          spool,
          clock: this.clock,
          everyMs: 0,
          onEvent: event => kept.told.push(event.kind),
        }),
      }
    if (kept && checkpoints) Object.assign(kept, { checkpointer: checkpoints.checkpointer, spool })
    return {
      ...(checkpoints && { checkpoints, onEvent: event => kept.told.push(event.kind) }),
      plan: counting(),
      slot: 0,
      log,
      store,
      models: new Map(),
      clock: this.clock,
      limits: { pollWaitMs: 0 as DurationMs, ...limits },
      genesis: {
        app: 'counting',
        slots: 1,
        key_groups: 4,
        partitions: [{ topic: 'in', count: this.partitions }],
        start: Array.from({ length: this.partitions }, (_, partition) => ({ topic: 'in', partition, offset: '0' })),
        job: {},
      },
      deadLetters: {
        topic: 'dead',
        encode: ({ code, key, value }) => ({ key, value, headers: [{ name: 'code', value: Buffer.from(code) }] }),
      },
      syncState: true,
      ...more(backend),
    }
  }

  async started(faults: Partial<Faults> = {}, limits: Partial<SlotLimits> = {}): Promise<Slot> {
    const slot = await this.slot(faults, limits)
    await slot.start()
    return slot
  }

  async read(topic: string): Promise<(string | null)[]> {
    const { earliest } = await this.log.range({ topic, partition: 0 })
    const reader = await this.log.reader([{ topic, partition: 0, offset: earliest }])
    const values: (string | null)[] = []
    for (;;) {
      const batches = await reader.poll({ recordsMax: 4_096, bytesMax: 1 << 24, waitMsMax: millis(0) })
      if (batches.length === 0) return values
      for (const batch of batches) {
        for (let i = 0; i < batch.count; i++) {
          const start = batch.valueStart[i]!
          values.push(start < 0 ? null : batch.bytes.toString('utf8', start, batch.valueEnd[i]))
        }
      }
    }
  }

  async counted(): Promise<string[]> {
    return (await this.read('out')).map(text => {
      const { id, n } = JSON.parse(text ?? '') as Counted
      return `${id}=${n}`
    })
  }

  async epochs(): Promise<EpochRecord[]> {
    const records = (await this.read(journal.topic)).map(text => JSON.parse(text ?? '') as EpochRecord | GenesisRecord)
    return records.filter(record => record.kind === 'epoch')
  }
}

export async function drain(slot: Slot): Promise<void> {
  for (let idle = 0; idle < 2; ) idle = (await slot.step()).kind === 'committed' ? 0 : idle + 1
}
