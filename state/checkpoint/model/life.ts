/**
 * The life of a slot's store with checkpoints, driven by a seed: write-backs of all kinds of state, checkpoints beside them,
 * crashes that lose unsynced writes and tear the spool, checkpoint stores that fail before or after the fact or lose and damage
 * objects, moves to another machine. Whatever can be restored must be, byte by byte, what the store held at that position.
 */
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, eventTime, isWeirError } from '../../../kernel/index.js'
import type { StateBackend } from '../../backend.js'
import { MemoryDisk } from '../../backends/memory.js'
import { intCodec, stringCodec } from '../../codecs.js'
import { readMeta } from '../../meta.js'
import { StateMiss } from '../../miss.js'
import { type EventLog, eventLogCodec } from '../../model/event-log.js'
import { Random } from '../../model/random.js'
import { StateStore } from '../../store.js'
import { Catalogue } from '../catalogue.js'
import { Checkpointer } from '../checkpointer.js'
import type { Manifest } from '../manifest.js'
import { restore, takeNewest } from '../restore.js'
import { DeltaSpool } from '../spool.js'
import { MemoryObjects } from '../stores/memory.js'

const namespace = Buffer.from('n/')
const keyGroups = 12
const keys = Array.from({ length: 30 }, (_, i) => `key-${i}`)
const dayMs = 86_400_000

export interface LifeFigures {
  full: number
  incremental: number
  /** Checkpoints of which some buckets got new bases and others deltas. */
  mixed: number
  failed: number
  unusable: number
  removed: number
  dropped: number
  crashes: number
  moves: number
  restored: number
}

export const noFigures = (): LifeFigures => ({
  full: 0,
  incremental: 0,
  mixed: 0,
  failed: 0,
  unusable: 0,
  removed: 0,
  dropped: 0,
  crashes: 0,
  moves: 0,
  restored: 0,
})

/** Everything that a store has, without its position. */
export async function contentOf(backend: StateBackend, prefix: Buffer = namespace): Promise<string> {
  const within = (space: number): Buffer => Buffer.concat([prefix, Buffer.of(space)])
  const entries = await backend.range({ gte: within(0x11), lt: within(0x14), limit: Number.MAX_SAFE_INTEGER })
  return entries.map(({ key, value }) => `${key.toString('hex')} ${value.toString('hex')}`).join('\n')
}

const nameIn = (path: string): string => path.slice(path.lastIndexOf('/') + 1)

export class Life {
  readonly figures: LifeFigures
  readonly #random: Random
  readonly #root: string
  readonly #objects = new MemoryObjects()
  /** By chain: what the store held. */
  readonly #held = new Map<string, { readonly content: string; readonly epoch: number; readonly clock: number }>()
  /** Objects that somebody else lost or damaged: what needs none of them must be whole. */
  readonly #damaged = new Set<string>()
  /** What the checkpointer said to be of no use; judged outside it, which survives whatever its listener throws. */
  readonly #told: [string, string][] = []
  #machine = 0
  #disk = new MemoryDisk()
  #nowMs = 1_000_000
  #epoch = 0
  #item = 0
  #eventTimeMs = 100 * dayMs
  #backend!: StateBackend
  #spool!: DeltaSpool
  #store!: StateStore
  #checkpointer!: Checkpointer
  #write!: (key: string) => Promise<void>

  constructor(seed: number, root: string, figures: LifeFigures) {
    this.#random = new Random(seed)
    this.#root = root
    this.figures = figures
  }

  readonly #clock: Clock = {
    nowMs: () => this.#nowMs,
    sleep: async ms => {
      await new Promise(resolve => setImmediate(resolve))
      this.#nowMs += ms
    },
  }

  get #spoolFolder(): string {
    return join(this.#root, `machine-${this.#machine}`)
  }

  async run(rounds: number): Promise<void> {
    await this.#open()
    for (let round = 0; round < rounds; round++) {
      await this.#epochs()
      for (const [name, message] of this.#told.splice(0)) this.#mayFail(name, message)
      if (this.#random.chance(6)) this.#breakStore()
      if (this.#random.chance(3)) await this.#checkpointer.idle()
      if (this.#random.chance(8)) await this.#crash()
      if (this.#random.chance(25)) await this.#move()
      if (this.#random.chance(30)) await this.#damage()
      if (this.#random.chance(15)) await this.#reset()
      if (this.#random.chance(4)) await this.#checkAll()
    }
    this.#objects.fault = () => undefined
    await this.#checkAll()
    await this.#close()
  }

  async #open(): Promise<void> {
    await mkdir(this.#spoolFolder, { recursive: true })
    this.#backend = this.#disk.open()
    this.#spool = await DeltaSpool.open({
      directory: this.#spoolFolder,
      bytesMax: 6_000,
      onDropped: () => this.figures.dropped++,
    })
    this.#store = await StateStore.open({
      backend: this.#backend,
      namespace,
      keyGroups,
      cacheBytesMax: 10_000,
      spool: this.#spool,
    })
    this.#declare()
    this.#checkpointer = new Checkpointer({
      store: this.#objects.open(),
      app: 'app',
      slot: 3,
      backend: this.#backend,
      namespace,
      spool: this.#spool,
      clock: this.#clock,
      everyMs: 10,
      keep: { countMin: 2, youngerThanMs: 100 },
      limits: {
        blockBytes: 200,
        segmentBytesMin: 300,
        segmentBytesMax: 900,
        gatherBytesMax: 700,
        deltaBytesMin: 50,
        segmentsMax: 60,
      },
      onEvent: event => {
        if (event.kind === 'checkpoint') this.figures[event.how]++
        else if (event.kind === 'checkpoint-failed') this.figures.failed++
        else if (event.kind === 'checkpoint-unusable') {
          this.figures.unusable++
          this.#told.push([event.name, event.message])
        } else if (event.kind === 'checkpoints-removed') this.figures.removed += event.count
      },
    })
  }

  #declare(): void {
    const steps = ['one', 'two-steps'].map(name => {
      const step = this.#store.step(name)
      const handles = {
        value: step.value('value', stringCodec),
        map: step.map('map', intCodec),
        log: step.paged<EventLog>('log', eventLogCodec),
      }
      return { step, ...handles }
    })
    this.#write = async key => {
      const random = this.#random
      const { step, value, map, log } = random.pick(steps)
      const what = random.below(6)
      const item = this.#item++
      const sub = `sub-${random.below(5)}`
      for (;;) {
        try {
          step.beginCall()
          step.enter(key)
          if (what === 0) value.set('v'.repeat(random.below(90)) + item)
          else if (what === 1) value.clear()
          else if (what === 2) map.set(sub, item)
          else if (what === 3) map.delete(sub)
          else if (what === 4) step.timers.timerAt(eventTime(this.#eventTimeMs + random.below(9)))
          else {
            log.get().append(item, this.#eventTimeMs + random.below(3 * dayMs))
            log.touch()
          }
          step.endCall()
          return
        } catch (error) {
          if (!(error instanceof StateMiss)) throw error
          step.rollbackCall()
          await step.loadMissing()
        }
      }
    }
  }

  async #epochs(): Promise<void> {
    const random = this.#random
    for (let left = random.below(12); left > 0; left--) await this.#write(random.pick(keys))
    this.#eventTimeMs += random.below(dayMs)
    this.#store.setExpiryClock(this.#eventTimeMs - dayMs)
    if (random.chance(2)) await this.#store.sweep(10)
    // At the end of its work a slot may write back what it swept since, at the position that it had.
    if (this.#epoch === 0 || !random.chance(8)) this.#epoch++
    const position = { epoch: this.#epoch, journalHash: `hash ${this.#epoch}`, fingerprint: 'f' }
    const resume = random.chance(2) ? { resume: { offset: this.#epoch * 2, genesis: '{}' } } : {}
    await this.#store.write(this.#store.serialise(), { ...position, ...resume }, { sync: random.chance(3) })
    const meta = (await readMeta(this.#backend, namespace))!
    this.#held.set(meta.chain, {
      content: await contentOf(this.#backend),
      epoch: this.#epoch,
      clock: meta.expiryClock,
    })
    this.#nowMs += random.below(8)
    await this.#checkpointer.afterWriteBack([{ topic: 't', partition: 0, offset: String(this.#epoch) }])
    this.#store.evict()
  }

  /** One of the next calls fails, or all from it on. */
  #breakStore(): void {
    let calls = this.#random.below(25)
    const fault = this.#random.pick(['lost', 'unheard'] as const)
    const forGood = this.#random.chance(2)
    this.#objects.fault = () => (calls-- === 0 || (forGood && calls < 0) ? fault : undefined)
  }

  /** The process dies: of the store a prefix survives, of the spool's last file a part. */
  async #crash(): Promise<void> {
    this.figures.crashes++
    this.#objects.fault = () => 'lost'
    await this.#checkpointer.close()
    await this.#spool.close()
    this.#disk.crash(this.#random.below(this.#disk.unsynced + 1))
    await this.#tearSpool()
    this.#objects.fault = () => undefined
    await this.#open()
  }

  async #tearSpool(): Promise<void> {
    const random = this.#random
    const name = (await readdir(this.#spoolFolder)).sort().at(-1)
    if (name === undefined) return
    const path = join(this.#spoolFolder, name)
    const bytes = await readFile(path)
    if (random.chance(2))
      await writeFile(path, bytes.subarray(0, bytes.length - random.below(Math.min(200, bytes.length + 1))))
    else if (random.chance(3) && bytes.length > 0) {
      bytes[random.below(bytes.length)]! ^= 1 << random.below(8)
      await writeFile(path, bytes)
    }
  }

  /** Another machine takes over, with nothing but the checkpoints. */
  async #move(): Promise<void> {
    this.figures.moves++
    await this.#close()
    this.#objects.fault = () => undefined
    await rm(this.#spoolFolder, { recursive: true })
    this.#machine++
    this.#disk = new MemoryDisk()
    const backend = this.#disk.open()
    await this.#restoreNewest(backend)
    await backend.close()
    await this.#open()
  }

  async #restoreNewest(backend: StateBackend): Promise<Manifest | undefined> {
    const catalogue = new Catalogue(this.#objects.open(), 'app', 3)
    const manifest = await takeNewest(catalogue, {
      judge: async () => 'take',
      take: candidate => restore(catalogue, candidate, { backend, namespace }),
      onUnusable: (name, message) => this.#mayFail(name, message),
    })
    if (manifest !== undefined) await this.#checkRestored(backend, manifest)
    else {
      // What was half restored is nothing to whoever opens it.
      await (await StateStore.open({ backend, namespace, keyGroups })).discard()
      assert.equal(await contentOf(backend), '')
    }
    return manifest
  }

  async #checkRestored(backend: StateBackend, manifest: Manifest): Promise<void> {
    this.figures.restored++
    const held = this.#held.get(manifest.chain)
    assert.ok(held, `a checkpoint of chain ${manifest.chain}, which no store had`)
    assert.equal(manifest.epoch, held.epoch)
    assert.deepEqual(manifest.inputs, [{ topic: 't', partition: 0, offset: String(held.epoch) }])
    assert.equal(await contentOf(backend), held.content)
    const meta = (await readMeta(backend, namespace))!
    assert.equal(meta.chain, manifest.chain)
    assert.equal(meta.expiryClock, held.clock)
    const resume = meta.position.resume === undefined ? {} : { resume: { offset: held.epoch * 2, genesis: '{}' } }
    assert.deepEqual(meta.position, {
      epoch: held.epoch,
      journalHash: `hash ${held.epoch}`,
      fingerprint: 'f',
      ...resume,
    })
  }

  /** Somebody loses an object, or changes a byte of one. */
  async #damage(): Promise<void> {
    const { objects } = this.#objects
    if (objects.size === 0) return
    const name = this.#random.pick([...objects.keys()])
    this.#damaged.add(nameIn(name))
    const bytes = Buffer.from(objects.get(name)!)
    const how = this.#random.below(4)
    if (how <= 1) objects.delete(name)
    else if (how === 2) objects.set(name, bytes.subarray(0, this.#random.below(bytes.length)))
    else {
      bytes[this.#random.below(bytes.length)]! ^= 1 << this.#random.below(8)
      objects.set(name, bytes)
    }
  }

  /** The message names what is missing or damaged. */
  #mayFail(name: string, message: string): void {
    const known = [...this.#damaged].some(damaged => name.endsWith(damaged) || message.includes(damaged.slice(-64)))
    assert.ok(known, `${name}: ${message}`)
  }

  /** The journal does not know the store. */
  async #reset(): Promise<void> {
    await this.#store.reset()
    this.#declare()
  }

  /** Each checkpoint that is there, and the newest of those that are whole. */
  async #checkAll(): Promise<void> {
    const fault = this.#objects.fault
    await this.#checkpointer.idle()
    this.#objects.fault = () => undefined
    const catalogue = new Catalogue(this.#objects.open(), 'app', 3)
    for await (const found of catalogue.newestFirst()) {
      const disk = new MemoryDisk()
      const backend = disk.open()
      try {
        if ('error' in found) throw found.error
        await restore(catalogue, found.manifest, { backend, namespace })
        const kinds = new Set(
          found.manifest.segments
            .filter(({ name }) => Number(name.slice(0, 16)) === found.manifest.epoch)
            .map(({ kind }) => kind),
        )
        if (kinds.size === 2) this.figures.mixed++
        await this.#checkRestored(backend, found.manifest)
      } catch (error) {
        if (!isWeirError(error, 'CHECKPOINT_CORRUPT')) throw error
        this.#mayFail(found.name, error.message)
        // What was half restored is nothing to whoever opens it.
        await (await StateStore.open({ backend, namespace, keyGroups })).discard()
        assert.equal(await contentOf(backend), '')
      }
    }
    await this.#restoreNewest(new MemoryDisk().open())
    this.#objects.fault = fault
  }

  async #close(): Promise<void> {
    await this.#checkpointer.close()
    await this.#spool.close()
    await this.#store.close()
  }
}
