/**
 * Random operations against a plain model: arrays of what was committed. The seed is in the test's name; a failure names
 * the step. The model knows no offsets: it learns each from the first read and holds every later read to it.
 */
import assert from 'node:assert/strict'
import { messageOf } from '../../kernel/index.js'
import type { Append, AppendRecord, Log, LogCommitter, LogReader } from '../port.js'
import { at, flatten, limits, type Read, readAll } from './harness.js'
import type { Context, Suite } from './suite.js'

const partitions = 3
const steps = 120

export function randomTests({ test }: Suite): void {
  for (const seed of [1, 2, 3, 4]) {
    test(`random operations agree with a model, seed ${seed}`, ['transactions', 'keys', 'nulls'], async context => {
      const run = await RandomRun.start(context, seed)
      for (let step = 0; step < steps; step++) await run.step(step)
      await run.checkAll()
    })
  }
}

/** Park-Miller: enough to choose operations, the same everywhere. */
function generator(seed: number): (below: number) => number {
  let state = seed * 7_919 + 1
  return below => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}

interface ModelReader {
  reader: LogReader
  /** Index of the next record in the model, for each partition. */
  next: number[]
}

class RandomRun {
  readonly #context: Context
  readonly #choose: (below: number) => number
  readonly #topic: string
  #log: Log
  #committers = new Map<string, LogCommitter>()
  readonly #fenced: LogCommitter[] = []
  #readers: ModelReader[] = []
  readonly #model: AppendRecord[][] = Array.from({ length: partitions }, () => [])
  /** Offsets of the model's records, as far as they are known. */
  readonly #offsets: bigint[][] = Array.from({ length: partitions }, () => [])
  #written = 0

  private constructor(context: Context, choose: (below: number) => number, topic: string) {
    this.#context = context
    this.#choose = choose
    this.#topic = topic
    this.#log = context.log
  }

  static async start(context: Context, seed: number): Promise<RandomRun> {
    return new RandomRun(context, generator(seed), await context.topic(partitions))
  }

  async step(step: number): Promise<void> {
    try {
      const choice = this.#choose(100)
      if (choice < 40) await this.#commit()
      else if (choice < 75) await this.#poll()
      else if (choice < 83) await this.#seek()
      else if (choice < 90) await this.#fence()
      else if (choice < 95) await this.#addReader()
      else if (choice < 98) await this.checkAll()
      else if (this.#context.lacks?.reopen === undefined) await this.#reopen()
    } catch (error) {
      throw new Error(`step ${step}: ${messageOf(error)}`, { cause: error })
    }
  }

  async checkAll(): Promise<void> {
    const next = Array.from({ length: partitions }, () => 0)
    for (const read of await readAll(this.#log, this.#topic)) this.#expect(read, next)
    assert.deepEqual(
      next,
      this.#model.map(records => records.length),
    )
  }

  async #commit(): Promise<void> {
    const id = `slot-${this.#choose(2)}`
    let committer = this.#committers.get(id)
    if (committer === undefined) {
      committer = await this.#log.committer(id)
      this.#committers.set(id, committer)
    }
    const appends: Append[] = []
    for (let i = this.#choose(4); i >= 0; i--) {
      const partition = this.#choose(partitions)
      const records = Array.from({ length: this.#size() }, () => this.#record())
      appends.push({ topic: this.#topic, partition, records })
    }
    await committer.commit(appends)
    for (const { partition, records } of appends) this.#model[partition]!.push(...(records as AppendRecord[]))
  }

  #size(): number {
    return [0, 1, 1, 2, 5, 80][this.#choose(6)]!
  }

  #record(): AppendRecord {
    const text = `${this.#written++}`
    const key = [null, Buffer.alloc(0), Buffer.from(`k${text}`)][this.#choose(3)]!
    const value = this.#choose(10) === 0 ? null : Buffer.from(text.padEnd(this.#choose(300), '.'))
    return { key, value }
  }

  async #poll(): Promise<void> {
    if (this.#readers.length === 0) return this.#addReader()
    const chosen = this.#readers[this.#choose(this.#readers.length)]!
    const recordsMax = 1 + this.#choose(200)
    const records = flatten(await chosen.reader.poll(limits({ recordsMax, bytesMax: 1 + this.#choose(5_000) })))
    assert.ok(records.length <= recordsMax)
    for (const read of records) this.#expect(read, chosen.next)
  }

  /** The read record is the model's next one of its partition. */
  #expect(read: Read, next: number[]): void {
    const index = next[read.partition]!++
    const expected = this.#model[read.partition]![index]
    assert.ok(expected !== undefined, `${read.partition}/${read.offset} holds ${read.value}, which nobody committed`)
    assert.equal(read.key, expected.key === null ? null : Buffer.from(expected.key).toString())
    assert.equal(read.value, expected.value === null ? null : Buffer.from(expected.value).toString())
    const offsets = this.#offsets[read.partition]!
    if (index < offsets.length) assert.equal(read.offset, offsets[index])
    else {
      assert.equal(index, offsets.length)
      assert.ok(index === 0 || read.offset > offsets[index - 1]!)
      offsets.push(read.offset)
    }
  }

  async #seek(): Promise<void> {
    const chosen = this.#readers[this.#choose(Math.max(1, this.#readers.length))]
    const partition = this.#choose(partitions)
    const known = this.#offsets[partition]!
    if (chosen === undefined || known.length === 0) return
    const index = this.#choose(known.length)
    chosen.reader.seek(at(this.#topic, partition, known[index]!))
    chosen.next[partition] = index
  }

  async #fence(): Promise<void> {
    const id = `slot-${this.#choose(2)}`
    const older = this.#committers.get(id)
    this.#committers.set(id, await this.#log.committer(id))
    if (older !== undefined) this.#fenced.push(older)
    for (const fenced of this.#fenced) {
      await assert.rejects(fenced.commit([{ topic: this.#topic, partition: 0, records: [this.#record()] }]))
    }
  }

  async #addReader(): Promise<void> {
    if (this.#readers.length >= 3) {
      const closing = this.#readers.shift()!
      await closing.reader.close()
    }
    const positions = []
    for (let partition = 0; partition < partitions; partition++) {
      positions.push(at(this.#topic, partition, (await this.#log.range({ topic: this.#topic, partition })).earliest))
    }
    this.#readers.push({ reader: await this.#log.reader(positions), next: Array.from({ length: partitions }, () => 0) })
  }

  async #reopen(): Promise<void> {
    this.#log = await this.#context.reopen()
    this.#committers = new Map()
    this.#fenced.length = 0
    this.#readers = []
  }
}
