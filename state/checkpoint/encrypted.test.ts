import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import { isWeirError, parseSealKeys, type SealKeys, sealedWith, type WeirError } from '../../kernel/index.js'
import { bucketCount } from './buckets.js'
import { Catalogue } from './catalogue.js'
import { checkpointStoreConformance } from './conformance.js'
import { encrypted, reencrypt, unencrypted } from './encrypted.js'
import { encodeManifest, manifestOf, manifestsOf } from './manifest.js'
import { takeNewest } from './restore.js'
import { MemoryObjects } from './stores/memory.js'

const hex = (byte: number): string => Buffer.alloc(32, byte).toString('hex')
const keysOf = (...bytes: number[]): SealKeys => parseSealKeys(bytes.map(hex).join(), 'the test')
const idOf = (byte: number): string => [...keysOf(byte).keys()][0]!
const whole = { plain: 'refuse', onFailed: assert.fail } as const
const text = (value: string): Buffer => Buffer.from(value)

describe('encrypted checkpoint store', () => {
  checkpointStoreConformance(async () => {
    const kept = new MemoryObjects()
    const open = () => encrypted(kept.open(), keysOf(1))
    return { store: open(), reopen: async () => open() }
  })

  it('keeps nothing readable but names', async () => {
    const kept = new MemoryObjects()
    const store = encrypted(kept.open(), keysOf(1))
    await store.put('put', text('customer-4711'))
    await store.create('created', text('customer-4711'))
    assert.equal(kept.objects.size, 2)
    for (const bytes of kept.objects.values()) assert.equal(bytes.includes('4711'), false)
  })

  it('finds objects that were changed, cut short or swapped', async () => {
    const kept = new MemoryObjects()
    const store = encrypted(kept.open(), keysOf(1))
    await store.put('a', text('a'.repeat(99)))
    await store.put('b', text('b'.repeat(99)))
    const [a, b] = [kept.objects.get('a')!, kept.objects.get('b')!]
    const changed = Buffer.from(a)
    changed[60]! ^= 0x80
    for (const damaged of [changed, a.subarray(0, -1), b]) {
      kept.objects.set('a', damaged)
      await assert.rejects(store.get('a'), { code: 'CHECKPOINT_CORRUPT', message: /: a was changed/ })
    }
    kept.objects.set('a', a)
    assert.equal((await store.get('a'))?.toString(), 'a'.repeat(99))
  })

  it('says which key is missing, and shows none', async () => {
    const kept = new MemoryObjects()
    await encrypted(kept.open(), keysOf(1)).put('a', text('x'))
    const error = await encrypted(kept.open(), keysOf(2))
      .get('a')
      .catch(reason => reason)
    assert.ok(isWeirError(error, 'CHECKPOINT_KEY'))
    assert.match(error.message, new RegExp(`a is encrypted with key ${idOf(1)}; there is only ${idOf(2)}`))
    for (const byte of [1, 2]) assert.equal(inspect(error, { depth: 9 }).includes(hex(byte)), false)
  })

  it('takes nothing that is not encrypted', async () => {
    const kept = new MemoryObjects()
    await kept.open().put('a', text('x'))
    const store = encrypted(kept.open(), keysOf(1))
    await assert.rejects(store.get('a'), { code: 'CHECKPOINT_KEY', message: /not encrypted/ })
    for await (const { bytes } of store.list('')) assert.equal(bytes, 0)
  })

  it('leaves the checkpoints before a damaged one usable, whatever became of its bytes', async () => {
    const kept = new MemoryObjects()
    const store = encrypted(kept.open(), keysOf(1))
    const position = { epoch: 0, journalHash: 'h', fingerprint: 'f' }
    const meta = { position, keyGroups: 1, expiryClock: Number.NEGATIVE_INFINITY, chain: '', turn: 0 }
    const names: string[] = []
    for (const epoch of [1, 2]) {
      const whose = { app: 'app', slot: 0, inputs: [] }
      const content = { segments: [], sizes: Array.from({ length: bucketCount(1) }, () => ({ base: 0, delta: 0 })) }
      const { name, bytes } = encodeManifest(
        manifestOf({ ...meta, position: { ...position, epoch } }, whose, 0, content),
      )
      names.push(manifestsOf('app/0') + name)
      await store.create(names.at(-1)!, bytes)
    }
    const [older, newer] = names as [string, string]
    const sealed = kept.objects.get(newer)!
    const flipped = Buffer.from(sealed)
    flipped[60]! ^= 1
    for (const damaged of [flipped, sealed.subarray(0, 100), sealed.subarray(0, 3), text(''), Buffer.alloc(100)]) {
      kept.objects.set(newer, damaged)
      const unusable: string[] = []
      const taken = await takeNewest(new Catalogue(store, 'app', 0), {
        judge: async () => 'take',
        take: async () => {},
        onUnusable: name => unusable.push(name),
      })
      assert.deepEqual([taken?.epoch, unusable], [1, [newer]])
    }
    // A key that is not there is a matter of the deployment, and none of the objects'.
    kept.objects.set(newer, sealed)
    await assert.rejects(encrypted(kept.open(), keysOf(2)).get(older), { code: 'CHECKPOINT_KEY' })
    const other = new Catalogue(encrypted(kept.open(), keysOf(2)), 'app', 0)
    await assert.rejects(other.newestFirst()[Symbol.asyncIterator]().next(), { code: 'CHECKPOINT_KEY' })
  })

  it('refuses a newer format', async () => {
    const kept = new MemoryObjects()
    const store = encrypted(kept.open(), keysOf(1))
    await store.put('a', text('x'))
    kept.objects.get('a')![4] = 2
    await assert.rejects(store.get('a'), { code: 'STATE_FORMAT' })
  })
})

describe('checkpoint store without keys', () => {
  checkpointStoreConformance(async () => {
    const kept = new MemoryObjects()
    const open = () => unencrypted(kept.open())
    return { store: open(), reopen: async () => open() }
  })

  it('does not take what is encrypted for damaged', async () => {
    const kept = new MemoryObjects()
    await encrypted(kept.open(), keysOf(1)).put('a', text('x'))
    const message = new RegExp(`a is encrypted with key ${idOf(1)}; there is none`)
    await assert.rejects(unencrypted(kept.open()).get('a'), { code: 'CHECKPOINT_KEY', message })
  })
})

describe('another key', () => {
  it('writes while the older one still reads; once all is renewed, the older one is needed no more', async () => {
    const kept = new MemoryObjects()
    await encrypted(kept.open(), keysOf(1)).put('a/1', text('old'))
    const both = encrypted(kept.open(), keysOf(2, 1))
    await both.put('a/2', text('new'))
    assert.equal((await both.get('a/1'))?.toString(), 'old')
    assert.equal((await both.get('a/2'))?.toString(), 'new')
    assert.equal(sealedWith(kept.objects.get('a/2')!), idOf(2))
    const fresh = kept.objects.get('a/2')
    assert.deepEqual(await reencrypt(kept.open(), keysOf(2, 1), whole), { objects: 2, renewed: 1, failed: 0 })
    assert.equal(kept.objects.get('a/2'), fresh, 'not written again')
    const alone = encrypted(kept.open(), keysOf(2))
    assert.equal((await alone.get('a/1'))?.toString(), 'old')
    assert.deepEqual(await reencrypt(kept.open(), keysOf(2, 1), whole), { objects: 2, renewed: 0, failed: 0 })
  })

  it('takes up what was stored without a key only when it is told to, below a prefix', async () => {
    const kept = new MemoryObjects()
    await kept.open().put('a/1', text('plain'))
    await kept.open().put('b/1', text('elsewhere'))
    const failed: string[] = []
    const onFailed = (name: string, { code }: WeirError) => failed.push(`${name} ${code}`)
    const refused = await reencrypt(kept.open(), keysOf(1), { plain: 'refuse', onFailed })
    assert.deepEqual(refused, { objects: 2, renewed: 0, failed: 2 })
    assert.deepEqual(failed, ['a/1 CHECKPOINT_KEY', 'b/1 CHECKPOINT_KEY'])
    const counts = await reencrypt(kept.open(), keysOf(1), { plain: 'encrypt', prefix: 'a/', onFailed: assert.fail })
    assert.deepEqual(counts, { objects: 1, renewed: 1, failed: 0 })
    assert.equal((await encrypted(kept.open(), keysOf(1)).get('a/1'))?.toString(), 'plain')
    assert.equal(kept.objects.get('b/1')?.toString(), 'elsewhere')
  })

  it('names what was changed or needs another key, leaves it as it is, and renews the rest', async () => {
    const kept = new MemoryObjects()
    for (const name of ['a', 'b', 'd']) await encrypted(kept.open(), keysOf(1)).put(name, text('x'))
    await encrypted(kept.open(), keysOf(3)).put('c', text('x'))
    const changed = kept.objects.get('b')!
    changed[changed.length - 1]! ^= 1
    const before = new Map(kept.objects)
    const failed: string[] = []
    const onFailed = (name: string, { code }: WeirError) => failed.push(`${name} ${code}`)
    const counts = await reencrypt(kept.open(), keysOf(2, 1), { plain: 'refuse', onFailed })
    assert.deepEqual(counts, { objects: 4, renewed: 2, failed: 2 })
    assert.deepEqual(failed, ['b CHECKPOINT_CORRUPT', 'c CHECKPOINT_KEY'])
    for (const name of ['b', 'c']) assert.equal(kept.objects.get(name), before.get(name))
    for (const name of ['a', 'd']) assert.equal((await encrypted(kept.open(), keysOf(2)).get(name))?.toString(), 'x')
  })

  it('finds also what was changed and has the first key', async () => {
    const kept = new MemoryObjects()
    await encrypted(kept.open(), keysOf(1)).put('a', text('x'))
    const changed = kept.objects.get('a')!
    changed[changed.length - 1]! ^= 1
    const failed: string[] = []
    const onFailed = (_: string, { code }: WeirError) => failed.push(code)
    await reencrypt(kept.open(), keysOf(1), { plain: 'encrypt', onFailed })
    assert.deepEqual(failed, ['CHECKPOINT_CORRUPT'])
  })

  it('stops where the store does not answer', async () => {
    const kept = new MemoryObjects()
    await encrypted(kept.open(), keysOf(1)).put('a', text('x'))
    kept.fault = ({ kind }) => (kind === 'get' ? 'lost' : undefined)
    const stopped = reencrypt(kept.open(), keysOf(1), whole)
    await assert.rejects(stopped, { code: 'CHECKPOINT_STORE_FAILED' })
  })
})
