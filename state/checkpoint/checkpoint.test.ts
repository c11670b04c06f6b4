import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import type { Clock } from '../../kernel/index.js'
import type { StateBackend } from '../backend.js'
import { MemoryDisk } from '../backends/memory.js'
import { stringCodec } from '../codecs.js'
import { StateStore } from '../store.js'
import { bucketCount, bucketOfKey, bucketsOf, groupBuckets, groupsOf } from './buckets.js'
import { Pace } from './build.js'
import { Catalogue } from './catalogue.js'
import { type CheckpointEvent, Checkpointer, type CheckpointLimits } from './checkpointer.js'
import { encodeManifest, type Manifest, manifestsOf, parseManifest, segmentsOf } from './manifest.js'
import { contentOf } from './model/life.js'
import { restore, restoreGroups, takeNewest, verify } from './restore.js'
import { readSegment, type SegmentEntry, SegmentWriter } from './segment.js'
import { DeltaSpool } from './spool.js'
import { MemoryObjects } from './stores/memory.js'

const noPrefix = Buffer.alloc(0)

describe('buckets', () => {
  it('hold each key group once, in order, and lie evenly', () => {
    for (const keyGroups of [1, 2, 63, 64, 65, 100, 1_000, 1_024, 65_535]) {
      let next = 0
      for (let bucket = 0; bucket < groupBuckets(keyGroups); bucket++) {
        const { from, to } = groupsOf(bucket, keyGroups)
        assert.equal(from, next)
        assert.ok(to > from)
        for (const group of [from, to - 1]) {
          const key = Buffer.from([0x11, 1, 0x61, group >> 8, group & 255, 0, 0])
          assert.equal(bucketOfKey(key, keyGroups), bucket)
          assert.deepEqual(
            [...bucketsOf(each => each === group, keyGroups)].sort(),
            [...new Set([bucket, groupBuckets(keyGroups)])].sort(),
          )
        }
        next = to
      }
      assert.equal(next, keyGroups)
    }
  })
})

describe('a segment', () => {
  const write = async (entries: readonly SegmentEntry[]) => {
    const writer = new SegmentWriter(100)
    for (const { key, value } of entries) if (writer.add(key, value)) await writer.flush()
    await writer.flush()
    return writer.finish()
  }
  const read = async (bytes: Buffer, sha256: string): Promise<SegmentEntry[]> => {
    const entries: SegmentEntry[] = []
    for await (const block of readSegment(bytes, sha256)) entries.push(...block)
    return entries
  }
  const bytesOf = fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes))
  const entry = fc.tuple(bytesOf, fc.option(bytesOf, { nil: undefined })).map(([key, value]) => ({ key, value }))

  it('gives back what was put in, under the hash of its bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entry), async entries => {
        const { bytes, sha256 } = await write(entries)
        assert.deepEqual(await read(bytes, sha256), entries)
      }),
    )
  })

  it('that is cut short or changed anywhere is corrupt, before anything of it is used', async () => {
    const { bytes, sha256 } = await write([
      { key: Buffer.from('a'), value: Buffer.alloc(200) },
      { key: Buffer.from('b'), value: undefined },
    ])
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes)
      changed[at]! ^= 0x10
      for (const bad of [changed, bytes.subarray(0, at)]) {
        const first = readSegment(bad, sha256)[Symbol.asyncIterator]().next()
        await assert.rejects(first, { code: 'CHECKPOINT_CORRUPT' })
      }
    }
  })
})

describe('the pace', () => {
  it('sleeps for as long as the bytes are worth, and gathers no credit while there is nothing to do', async () => {
    const sleeps: number[] = []
    let nowMs = 0
    const clock: Clock = {
      nowMs: () => nowMs,
      sleep: async ms => {
        sleeps.push(ms)
        nowMs += ms
      },
    }
    const pace = new Pace(clock, 1_000_000)
    await pace.spent(500)
    await pace.spent(2_000)
    nowMs += 1_000
    await pace.spent(3_000)
    assert.deepEqual(sleeps, [2, 3])
  })
})

/** A store of one value a key, and a checkpointer that is due whenever it is called. */
class Bench {
  readonly objects = new MemoryObjects()
  readonly events: CheckpointEvent[] = []
  readonly dropped: string[] = []
  kept: readonly Manifest[] = []
  nowMs = 0
  keep = { countMin: 2, youngerThanMs: 0 }
  epoch = 0
  backend!: StateBackend
  spool!: DeltaSpool
  store!: StateStore
  checkpointer!: Checkpointer
  #put!: (values: Readonly<Record<string, string>>) => Promise<void>

  async open(directory: string, limits: Partial<CheckpointLimits> & { spoolBytesMax?: number } = {}): Promise<this> {
    this.backend = new MemoryDisk().open()
    const spoolOptions = limits.spoolBytesMax === undefined ? {} : { bytesMax: limits.spoolBytesMax }
    this.spool = await DeltaSpool.open({ directory, onDropped: reason => this.dropped.push(reason), ...spoolOptions })
    this.store = await StateStore.open({ backend: this.backend, keyGroups: 100, spool: this.spool })
    const step = this.store.step('step')
    const value = step.value('value', stringCodec)
    this.#put = async values => {
      await step.prefetch(Object.keys(values))
      for (const [key, text] of Object.entries(values)) {
        step.beginCall()
        step.enter(key)
        value.set(text)
        step.endCall()
      }
    }
    this.checkpointer = this.newCheckpointer(limits)
    return this
  }

  newCheckpointer(limits: Partial<CheckpointLimits> = {}): Checkpointer {
    return new Checkpointer({
      store: this.objects.open(),
      app: 'app',
      slot: 0,
      backend: this.backend,
      spool: this.spool,
      clock: { nowMs: () => this.nowMs, sleep: async () => undefined },
      everyMs: 0,
      keep: this.keep,
      limits,
      onEvent: event => this.events.push(event),
      onRetained: async kept => {
        this.kept = kept
      },
    })
  }

  get catalogue(): Catalogue {
    return new Catalogue(this.objects.open(), 'app', 0)
  }

  async write(values: Readonly<Record<string, string>>): Promise<void> {
    await this.#put(values)
    const epoch = ++this.epoch
    await this.store.write(
      this.store.serialise(),
      { epoch, journalHash: `h${epoch}`, fingerprint: 'f' },
      { sync: false },
    )
  }

  async checkpoint(): Promise<CheckpointEvent | undefined> {
    const before = this.events.length
    await this.checkpointer.afterWriteBack([])
    await this.checkpointer.idle()
    return this.events.slice(before).find(event => event.kind !== 'checkpoints-removed')
  }

  async manifests(): Promise<Manifest[]> {
    const found: Manifest[] = []
    for await (const stored of this.catalogue.newestFirst()) if ('manifest' in stored) found.push(stored.manifest)
    return found
  }
}

const many = (count: number, value: string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`key-${i}`, value + i]))

describe('a checkpointer', () => {
  let root: string
  let spools = 0
  const benches: Bench[] = []
  const bench = async (limits?: Parameters<Bench['open']>[1]): Promise<Bench> => {
    const opened = await new Bench().open(join(root, `${spools++}`), limits)
    benches.push(opened)
    return opened
  }
  const first = async (limits?: Parameters<Bench['open']>[1]): Promise<Bench> => {
    const b = await bench(limits)
    await b.write(many(500, 'first '))
    assert.equal(await b.checkpoint(), undefined, 'it looks at what there is first')
    return b
  }
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'weir-checkpointer-'))
  })
  after(async () => {
    for (const { spool } of benches) await spool.close()
    await rm(root, { recursive: true })
  })

  it('makes a full one first, then writes what changed', async () => {
    const b = await first()
    const full = await b.checkpoint()
    assert.ok(full?.kind === 'checkpoint' && full.how === 'full' && full.segmentsWritten === 1)
    await b.write({ 'key-7': 'second' })
    const incremental = await b.checkpoint()
    assert.ok(incremental?.kind === 'checkpoint' && incremental.how === 'incremental')
    assert.ok(incremental.bytesTotal > full.bytesTotal)
    const segments = (await b.manifests())[0]!.segments
    assert.deepEqual(
      segments.map(({ kind, buckets }) => [kind, kind === 'base' ? buckets : buckets[1] - buckets[0]]),
      [
        ['base', [0, bucketCount(100) - 1]],
        ['delta', 0],
      ],
    )
    assert.ok(segments[1]!.bytes < segments[0]!.bytes / 10)
  })

  it('makes none when nothing was written, and writes no segment again', async () => {
    const b = await first()
    await b.checkpoint()
    assert.equal(await b.checkpoint(), undefined)
    const put = new Set<string>()
    b.objects.fault = ({ kind, name }) => {
      if (kind === 'put') put.add(name)
      return undefined
    }
    await b.write({ a: 'b' })
    await b.checkpoint()
    assert.equal(put.size, 1)
  })

  it('goes on from the last one after a restart, also on another machine that restored it', async () => {
    const b = await first()
    await b.checkpoint()
    await b.write({ a: 'b' })
    b.checkpointer = b.newCheckpointer()
    await b.checkpoint()
    const event = await b.checkpoint()
    assert.ok(event?.kind === 'checkpoint' && event.how === 'incremental')

    const backend = new MemoryDisk().open()
    const manifest = await takeNewest(b.catalogue, {
      judge: async () => 'take',
      take: candidate => restore(b.catalogue, candidate, { backend }),
      onUnusable: assert.fail,
    })
    assert.deepEqual(manifest, (await b.manifests())[0])
    assert.equal(await contentOf(backend, noPrefix), await contentOf(b.backend, noPrefix))
    const store = await StateStore.open({ backend, keyGroups: 100 })
    assert.deepEqual(store.reflects, { epoch: 2, journalHash: 'h2', fingerprint: 'f' })
  })

  it('gives buckets that changed much new bases, and drops the deltas that nobody needs', async () => {
    const b = await first({ deltaBytesMin: 0 })
    await b.checkpoint()
    await b.write(many(500, 'second '))
    await b.checkpoint()
    assert.deepEqual(
      (await b.manifests())[0]!.segments.map(({ kind }) => kind),
      ['base', 'delta'],
    )
    await b.write(many(500, 'third '))
    await b.checkpoint()
    const [newest] = await b.manifests()
    // The first is there for the expiry index alone, which has not changed.
    assert.deepEqual(
      newest!.segments.map(({ kind, name }) => [kind, Number(name.slice(0, 16))]),
      [
        ['base', 1],
        ['base', 3],
      ],
    )
    assert.ok(newest!.sizes.every(({ delta }) => delta === 0))
  })

  it('makes a full one when the spool has exceeded its bound', async () => {
    const b = await first({ spoolBytesMax: 2_000 })
    await b.checkpoint()
    await b.write(many(500, 'second '))
    assert.match(b.dropped.join(), /exceed 2000 bytes/)
    assert.equal(b.spool.recording, false)
    const event = await b.checkpoint()
    assert.ok(event?.kind === 'checkpoint' && event.how === 'full')
    assert.equal(b.spool.recording, true)
  })

  it('leaves the spool empty behind a checkpoint', async () => {
    const b = await first()
    await b.checkpoint()
    for (let i = 0; i < 5; i++) await b.write(many(50, `${i}`))
    const before = b.spool.bytes
    await b.checkpoint()
    assert.ok(b.spool.bytes < 100 && before > 5_000)
  })

  it('does not see what is written while it works', async () => {
    const b = await first({ blockBytes: 100 })
    const content = await contentOf(b.backend, noPrefix)
    await b.checkpointer.afterWriteBack([])
    await b.write(many(800, 'later '))
    await b.checkpointer.idle()
    const backend = new MemoryDisk().open()
    const [manifest] = await b.manifests()
    await restore(b.catalogue, manifest!, { backend })
    assert.equal(manifest!.epoch, 1)
    assert.equal(await contentOf(backend, noPrefix), content)
  })

  it('closed in the middle publishes nothing', async () => {
    const b = await first({ blockBytes: 100 })
    await b.checkpointer.afterWriteBack([])
    await b.checkpointer.close()
    assert.deepEqual(await b.manifests(), [])
    assert.deepEqual(b.events, [])
  })

  it('in a store that is full takes back what it has put, and what retention finds by then', async () => {
    const b = await first({ segmentBytesMin: 100, blockBytes: 100, deltaBytesMin: 0 })
    b.keep = { countMin: 2, youngerThanMs: 1_000 }
    b.checkpointer = b.newCheckpointer({ segmentBytesMin: 100, blockBytes: 100 })
    await b.checkpoint()
    for (let i = 0; i < 3; i++) {
      await b.checkpoint()
      await b.write(many(500, `${i} `))
    }
    assert.equal((await b.manifests()).length, 3)
    const bytes = (): number => [...b.objects.objects.values()].reduce((sum, { length }) => sum + length, 0)
    const before = bytes()
    b.objects.fault = ({ kind }) => (kind === 'put' && bytes() > before + 500 ? 'unheard' : undefined)
    const failed = await b.checkpoint()
    assert.ok(failed?.kind === 'checkpoint-failed' && /put of .*segments/.test(failed.message), failed?.kind)
    assert.equal(bytes(), before)
    // An hour later the first of the three need not be kept any more.
    b.nowMs += 1_001
    assert.equal((await b.checkpoint())?.kind, 'checkpoint-failed')
    assert.ok(bytes() < before)
    assert.deepEqual(b.events.at(-2), { kind: 'checkpoints-removed', count: 1 })
    b.objects.fault = () => undefined
    assert.equal((await b.checkpoint())?.kind, 'checkpoint')
    for (const manifest of await b.manifests()) await verify(b.catalogue, manifest)
  })

  it('leaves its segments where its manifest may have arrived, or another is there that may name them', async () => {
    for (const fault of ['lost', 'unheard'] as const) {
      const b = await first()
      b.objects.fault = ({ kind }) => (kind === 'create' ? fault : undefined)
      assert.equal((await b.checkpoint())?.kind, 'checkpoint-failed')
      assert.equal((await b.catalogue.segments()).size, 1)
    }
    const b = await first()
    await b.checkpoint()
    const [manifest] = await b.manifests()
    const names = manifest!.segments.map(({ name }) => name)
    await b.catalogue.takeBack(manifest!.epoch, names)
    await verify(b.catalogue, manifest!)
    await b.catalogue.takeBack(manifest!.epoch + 1, names)
    assert.equal((await b.catalogue.segments()).size, 0)
  })

  it('that cannot remove what it has put says both', async () => {
    const b = await first()
    b.objects.fault = ({ kind }) => (kind === 'put' || kind === 'delete' ? 'unheard' : undefined)
    const failed = await b.checkpoint()
    assert.ok(failed?.kind === 'checkpoint-failed')
    assert.match(failed.message, /^.*put of .*; nor could what it had written be removed: .*delete of /)
  })

  it('finds that something it goes on from is gone, and makes a full one', async () => {
    const b = await first()
    await b.checkpoint()
    const [segment] = (await b.manifests())[0]!.segments
    b.objects.objects.delete(segmentsOf('app/0') + segment!.name)
    await b.write({ a: '1' })
    await b.checkpoint()
    assert.ok(b.events.some(event => event.kind === 'checkpoint-unusable' && event.message.includes(segment!.name)))
    await b.write({ a: '2' })
    const event = await b.checkpoint()
    assert.ok(event?.kind === 'checkpoint' && event.how === 'full')
    assert.ok((await verify(b.catalogue, (await b.manifests())[0]!)).operations >= 500)
  })

  it('keeps the newest and the young ones; segments go when no manifest names them, but not those of the oldest epoch or later', async () => {
    const b = await first({ deltaBytesMin: 0 })
    const segment = (epoch: number): string =>
      `${segmentsOf('app/0')}${String(epoch).padStart(16, '0')}-${'0'.repeat(64)}`
    await b.checkpoint()
    // What crashes have left behind, and what another owner is writing just now.
    for (const epoch of [0, 4, 5, 9]) b.objects.objects.set(segment(epoch), Buffer.alloc(9))
    for (let i = 2; i <= 6; i++) {
      await b.write(many(500, `${i} `))
      await b.checkpoint()
    }
    assert.deepEqual(
      (await b.manifests()).map(({ epoch }) => epoch),
      [6, 5],
    )
    assert.deepEqual(
      b.kept.map(({ epoch }) => epoch),
      [5, 6],
    )
    const named = new Set(
      (await b.manifests()).flatMap(({ segments }) => segments.map(({ name }) => segmentsOf('app/0') + name)),
    )
    const left = [...b.objects.objects.keys()].filter(name => name.startsWith(segmentsOf('app/0')))
    assert.deepEqual(
      left.filter(name => !named.has(name)),
      [segment(5), segment(9)],
    )
    assert.equal(left.length, named.size + 2)
  })

  it('keeps and removes the same beside what is no manifest', async () => {
    const b = await first({ deltaBytesMin: 0 })
    const strays = ['README', `${'1'.padStart(16, '0')}-of-yesterday`].map(name => manifestsOf('app/0') + name)
    for (const name of strays) b.objects.objects.set(name, Buffer.from('not ours'))
    for (let i = 0; i < 4; i++) {
      await b.checkpoint()
      await b.write(many(500, `${i} `))
    }
    assert.deepEqual(
      b.events.map(({ kind }) => kind).filter(kind => kind === 'checkpoint-unusable'),
      [],
    )
    const named = new Set((await b.manifests()).flatMap(({ segments }) => segments.map(({ name }) => name)))
    assert.deepEqual([...(await b.catalogue.segments()).keys()].sort(), [...named].sort())
    assert.equal((await b.manifests()).length, 2)
    assert.deepEqual(await b.catalogue.strays(), strays.toSorted())
  })

  it('leaves as many where an owner of before publishes and removes in the middle of it', async () => {
    const b = await first({ deltaBytesMin: 0 })
    await b.checkpoint()
    await b.write(many(500, 'second '))
    await b.checkpoint()
    const before = new Map(b.objects.objects)
    await b.write(many(500, 'third '))
    await b.checkpoint()
    const { objects } = b.objects
    for (const [name, bytes] of before) objects.set(name, bytes)
    const late = [...objects.keys()].find(name => name.startsWith(`${manifestsOf('app/0')}0000000000000002`))!
    const bytes = objects.get(late)!
    objects.delete(late)
    const keep = { countMin: 2, youngerThanMs: 0 }
    const store = b.objects.open()
    const remove = store.delete.bind(store)
    store.delete = async names => {
      if (!objects.has(late)) {
        objects.set(late, bytes)
        const { stay } = await b.catalogue.retain(keep, 1e15)
        assert.deepEqual(
          stay.map(({ epoch }) => epoch),
          [2, 3],
        )
      }
      await remove(names)
    }
    const { stay } = await new Catalogue(store, 'app', 0).retain(keep, 1e15)
    assert.deepEqual(
      stay.map(({ epoch }) => epoch),
      [1, 3],
    )
    const left = await b.manifests()
    assert.deepEqual(
      left.map(({ epoch }) => epoch),
      [3, 2],
    )
    for (const manifest of left) await verify(b.catalogue, manifest)
  })

  it('counts none that lacks segments: those that can be restored are kept', async () => {
    const b = await first()
    await b.checkpoint()
    await b.write({ a: 'second' })
    await b.write({ a: 'third' })
    await b.checkpoint()
    const whole = (await b.manifests()).reverse()
    assert.deepEqual(
      whole.map(({ epoch }) => epoch),
      [1, 3],
    )
    // What an owner publishes that was fenced long ago: retention has taken its segments.
    const segments = [{ ...whole[1]!.segments[0]!, name: `${'2'.padStart(16, '0')}-${'f'.repeat(64)}` }]
    const late = encodeManifest({ ...whole[1]!, epoch: 2, segments })
    b.objects.objects.set(`app/0/manifests/${late.name}`, late.bytes)
    const { stay } = await b.catalogue.retain({ countMin: 2, youngerThanMs: 0 }, 1e15)
    assert.deepEqual(stay, whole)
    assert.deepEqual(
      (await b.manifests()).map(({ epoch }) => epoch),
      [3, 2, 1],
    )
    for (const manifest of whole) await verify(b.catalogue, manifest)
  })

  it('does not count what an owner of before published when its segments were gone', async () => {
    const b = await first({ deltaBytesMin: 0 })
    await b.checkpoint()
    await b.write(many(500, 'second '))
    await b.checkpoint()
    const [newest] = await b.manifests()
    const gone = newest!.segments.map(segment => ({ ...segment, name: `${segment.name.slice(0, -4)}0000` }))
    const late = encodeManifest({ ...newest!, epoch: 3, segments: gone })
    b.objects.objects.set(manifestsOf('app/0') + late.name, late.bytes)
    await b.write({})
    await b.write(many(500, 'fourth '))
    await b.checkpoint()
    assert.deepEqual(
      b.kept.map(({ epoch }) => epoch),
      [2, 4],
    )
    for (const manifest of b.kept) await verify(b.catalogue, manifest)
    await b.write(many(500, 'fifth '))
    await b.checkpoint()
    assert.deepEqual(
      b.kept.map(({ epoch }) => epoch),
      [4, 5],
    )
  })

  it('takes nothing for its own that is not whole, of another slot or of a newer Weir', async () => {
    const b = await first()
    await b.checkpoint()
    const [manifest] = await b.manifests()
    const parse = (changed: object, folder = 'app/0', name?: string) => {
      const encoded = encodeManifest({ ...manifest!, ...changed })
      return parseManifest(name ?? encoded.name, encoded.bytes, folder)
    }
    assert.deepEqual(parse({}), manifest)
    const { name } = encodeManifest(manifest!)
    assert.throws(() => parse({ expiry_ms: 1 }, 'app/0', name), { code: 'CHECKPOINT_CORRUPT', message: /another hash/ })
    assert.throws(() => parse({}, 'app/1'), { code: 'CHECKPOINT_CORRUPT', message: /is of app\/0/ })
    assert.throws(() => parse({ sizes: [] }), { code: 'CHECKPOINT_CORRUPT', message: /contradicts/ })
    assert.throws(() => parse({ v: 2 }), { code: 'STATE_FORMAT' })
    assert.throws(() => parse({ state_format: 99 }), { code: 'STATE_FORMAT' })
  })

  it('is restored by key groups from the segments that hold them', async () => {
    const b = await first({ segmentBytesMin: 100, blockBytes: 100 })
    await b.checkpoint()
    const [manifest] = await b.manifests()
    assert.ok(manifest!.segments.length > 20)
    const whole = new MemoryDisk().open()
    let read = 0
    b.objects.fault = ({ kind, name }) => {
      if (kind === 'get' && name.includes('/segments/')) read++
      return undefined
    }
    const cuts = [0, 13, 50, 100]
    const parts: string[] = []
    for (let i = 1; i < cuts.length; i++) {
      const ownsGroup = (group: number) => group >= cuts[i - 1]! && group < cuts[i]!
      const backend = new MemoryDisk().open()
      await restoreGroups(b.catalogue, manifest!, { backend, ownsGroup })
      await restoreGroups(b.catalogue, manifest!, { backend: whole, ownsGroup })
      parts.push(await contentOf(backend, noPrefix))
    }
    assert.equal(await contentOf(whole, noPrefix), await contentOf(b.backend, noPrefix))
    assert.deepEqual(parts.join('\n').split('\n').sort(), (await contentOf(whole, noPrefix)).split('\n').sort())
    // Each segment once for each part that it has something of, twice as each part is restored twice.
    assert.ok(read < 2 * (manifest!.segments.length + 2 * cuts.length), `${read} of ${manifest!.segments.length}`)
  })

  it('has a spool that cannot be written do no harm', async () => {
    const b = await first()
    await b.checkpoint()
    await rm(join(root, `${spools - 1}`), { recursive: true })
    for (let i = 0; i < 3; i++) {
      await b.write({ a: `${i}` })
      await b.checkpoint()
    }
    assert.ok(b.dropped.length > 0)
    assert.deepEqual(
      b.events.map(event => (event.kind === 'checkpoint' ? event.how : event.kind)),
      ['full', 'checkpoint-failed', 'full', 'full', 'checkpoints-removed'],
    )
  })

  it('leaves no spool when none is needed', async () => {
    const b = await bench()
    await b.write({ a: '1' })
    assert.deepEqual(await readdir(join(root, `${spools - 1}`)), [])
  })
})
