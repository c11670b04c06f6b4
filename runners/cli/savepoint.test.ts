/** Savepoints as their users have them: of what slots of the fraud topology have left in a directory. */
import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { positiveMurmur2, sha256Hex } from '../../kernel/index.js'
import { type Manifest, openDirectoryStore, openRocksDb, type Savepoint, StateStore } from '../../state/index.js'
import { Fold, fraudTopology, history, keyGroups } from '../checkpoints/testing/fold.js'
import { checkpointVerb } from './checkpoint.js'
import { stateVerb } from './state.js'
import type { Verb } from './verb.js'

interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

async function run(verb: Verb, args: readonly string[]): Promise<Ended> {
  let [out, err] = ['', '']
  const io = {
    out: (text: string) => {
      out += text
    },
    err: (text: string) => {
      err += text
    },
    write: async () => assert.fail(),
    interactive: false,
    signal: new AbortController().signal,
  }
  const code = await verb.run(args, io)
  return { code, out, err }
}

interface Shown {
  readonly key: string
  readonly slot: number
  readonly found: boolean
  readonly epoch: number
  readonly states: readonly { readonly value: { readonly events: number } }[]
}

describe('weir checkpoint savepoint', () => {
  let root: string
  let place: string
  const customer = history(2)[0]!.key
  const weir = (...args: string[]): Promise<Ended> => run(checkpointVerb, [...args, '--store', place])
  const get = (...args: string[]): Promise<Ended> =>
    run(stateVerb, ['get', '--step', 'customer', '--key', customer, '--store', place, ...args])

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'weir-savepoint-verb-'))
    place = join(root, 'store')
    const store = await openDirectoryStore(place)
    const fold = await Fold.start(fraudTopology(), 3, 3, { store, directory: join(root, 'spools') })
    await fold.send(history(2))
    await fold.close()
    await store.close()
  })
  after(() => rm(root, { recursive: true }))

  it('copies the newest checkpoints under a name, once', async () => {
    const made = await weir('savepoint', 'before-upgrade')
    const line = /^savepoint before-upgrade {2}\S+ {2}\d+ bytes, plan 1 of 3 slots, not closed/
    assert.deepEqual([made.code, made.err], [0, ''])
    assert.match(made.out, line)
    const epochs = /, of epochs ([\d, ]+)\n$/.exec(made.out)![1]!.split(', ').map(Number)
    assert.equal(epochs.length, 3)
    // Nothing has moved since: it is the same one.
    assert.equal((await weir('savepoint', 'before-upgrade')).code, 0)
    const savepoint = JSON.parse((await weir('inspect', '--savepoint', 'before-upgrade')).out) as Savepoint
    assert.deepEqual(
      savepoint.parts.map(({ manifest }) => manifest.epoch),
      epochs,
    )
    assert.ok(
      savepoint.steps.some(({ step, handles }) => step === 'customer' && handles[0]!.codec.name === 'reservoir'),
    )
    const listed = (await weir('list')).out
    assert.match(listed.split('\n').at(-2)!, line)
    assert.match(listed, /^slot 2 {2}epoch /m)
    assert.ok(!(await weir('list', '--slot', '1')).out.includes('savepoint'))
    assert.match((await weir('list', '--savepoint', 'before-upgrade')).out, line)
    const { bytes, created_at, ...json } = JSON.parse(
      (await weir('list', '--savepoint', 'before-upgrade', '--json')).out,
    )
    assert.deepEqual(json, { savepoint: 'before-upgrade', plan: 1, slots: 3, closed: false, epochs })
    assert.ok(bytes > 0 && Date.parse(created_at) > 0)
    await assert.rejects(weir('inspect', '--savepoint', 'other'), { code: 'SAVEPOINT_NOT_FOUND' })
    for (const action of ['list', 'verify', 'inspect']) {
      await assert.rejects(weir(action, '--savepoint', '../x'), { code: 'USAGE' })
    }
  })

  it('is complete in itself: it is restored when the checkpoints are gone', async () => {
    const alone = join(root, 'alone')
    await cp(join(place, 'fraud/savepoints'), join(alone, 'fraud/savepoints'), { recursive: true })
    const to = join(root, 'slot-2')
    const args = ['--savepoint', 'before-upgrade', '--store', alone]
    await run(checkpointVerb, ['restore', ...args, '--slot', '2', '--to', to])
    const backend = await openRocksDb(to)
    const { reflects } = await StateStore.open({ backend, keyGroups })
    await backend.close()
    const { parts } = JSON.parse((await run(checkpointVerb, ['inspect', ...args])).out) as Savepoint
    assert.equal(reflects?.journalHash, parts[2]!.manifest.journal_hash)
    await assert.rejects(run(checkpointVerb, ['restore', ...args, '--slot', '2', '--to', to]), {
      code: 'OUTPUT_UNWRITABLE',
    })
    for (const slot of [[], ['--slot', '3']]) {
      const restore = run(checkpointVerb, ['restore', ...args, ...slot, '--to', join(root, 'x')])
      await assert.rejects(restore, { code: 'USAGE' })
    }
  })

  it('is verified with the rest, or alone', async () => {
    const whole = await weir('verify')
    assert.equal(whole.code, 0)
    assert.match(whole.out, /^savepoint before-upgrade .* whole, \d+ operations$/m)
    const folder = join(place, 'fraud/savepoints/before-upgrade/1/segments')
    const segment = join(folder, (await readdir(folder))[0]!)
    const bytes = await readFile(segment)
    await writeFile(segment, bytes.subarray(1))
    for (const args of [['verify'], ['verify', '--savepoint', 'before-upgrade']]) {
      const { code, out } = await weir(...args)
      assert.equal(code, 1)
      assert.match(out, /^savepoint before-upgrade {2}CHECKPOINT_CORRUPT: /m)
    }
    assert.equal((await weir('verify', '--slot', '1')).code, 0)
    await writeFile(segment, bytes)
    const document = join(place, 'fraud/savepoints/before-upgrade/savepoint')
    const text = await readFile(document)
    await writeFile(document, 'torn')
    assert.equal((await weir('verify')).code, 1)
    assert.match((await weir('list')).out, /^savepoint before-upgrade {2}CHECKPOINT_CORRUPT: /m)
    await writeFile(document, text)
  })

  it('passes over a damaged checkpoint and says so; without one that is whole there is none', async () => {
    const copy = join(root, 'damaged')
    await cp(place, copy, { recursive: true })
    const folder = join(copy, 'fraud/1/manifests')
    const names = (await readdir(folder)).sort()
    assert.ok(names.length >= 2)
    await writeFile(join(folder, names.at(-1)!), 'torn')
    const made = await run(checkpointVerb, ['savepoint', 'older', '--store', copy])
    assert.equal(made.code, 0)
    assert.match(made.err, /^weir: passed over fraud\/1\/manifests\/\S+: CHECKPOINT_CORRUPT/)
    for (const name of names) await writeFile(join(folder, name), 'torn')
    await assert.rejects(run(checkpointVerb, ['savepoint', 'none', '--store', copy]), {
      code: 'CHECKPOINT_CORRUPT',
      message: /slot 1 of fraud/,
    })
    await assert.rejects(run(checkpointVerb, ['savepoint', 'none', '--store', copy, '--app', 'x']), {
      code: 'CHECKPOINT_CORRUPT',
    })
  })

  it('refuses what it cannot make sense of', async () => {
    for (const args of [
      ['savepoint'],
      ['savepoint', 'Not A Name'],
      ['list', 'name'],
      ['savepoint', 'a', 'b'],
      ['list', '--savepoint', 'x', '--epoch', '1'],
      ['savepoint', 'a', '--to', 'x'],
    ]) {
      await assert.rejects(weir(...args), { code: 'USAGE' }, args.join(' '))
    }
  })

  it('lets weir state get look into it, and into checkpoints', async () => {
    const events = new Set(
      history(2).flatMap(({ topic, key, value }) =>
        topic === 'transactions' && key === customer ? [JSON.stringify(value)] : [],
      ),
    ).size
    const shown: Shown[] = []
    for (const args of [
      ['--savepoint', 'before-upgrade'],
      ['--checkpoint', 'newest'],
    ]) {
      const { code, out } = await get(...args, '--json')
      assert.equal(code, 0)
      shown.push(JSON.parse(out) as Shown)
    }
    assert.deepEqual(shown[0], shown[1])
    const [{ key, slot, found, epoch, states }] = shown as [Shown]
    assert.deepEqual([found, states[0]!.value.events], [true, events])
    assert.ok(key.includes('…') && !key.includes(customer))
    assert.equal(
      (JSON.parse((await get('--checkpoint', String(epoch), '--json', '--show-pii')).out) as Shown).key,
      customer,
    )
    const words = (await get('--savepoint', 'before-upgrade')).out
    assert.match(words, new RegExp(`^step customer, key .*: slot ${slot}, key group \\d+, epoch ${epoch}\n`))
    assert.match(words, /^kept +in the savepoint before-upgrade$/m)
    const nobody = ['get', '--step', 'customer', '--key', 'nobody', '--store', place, '--savepoint', 'before-upgrade']
    assert.match((await run(stateVerb, nobody)).out, /no state/)
    for (const [code, args] of [
      ['USAGE', ['--checkpoint', 'x']],
      ['USAGE', ['--checkpoint', '1', '--savepoint', 'a']],
      ['USAGE', ['--savepoint', 'before-upgrade', '--url', 'http://127.0.0.1:1']],
      ['USAGE', []],
      ['CHECKPOINT_CORRUPT', ['--checkpoint', '999999']],
      ['SAVEPOINT_NOT_FOUND', ['--savepoint', 'other']],
      ['UNKNOWN_STEP', ['--savepoint', 'before-upgrade', '--step', 'nobody']],
    ] as const) {
      await assert.rejects(get(...args), { code }, args.join(' '))
    }
  })

  it('looks into checkpoints of the plan that made them, in the slot that had the key then', async () => {
    const copy = join(root, 'rescaled')
    await cp(place, copy, { recursive: true })
    const at = (checkpoint: string): Promise<Ended> => get('--checkpoint', checkpoint, '--json', '--store', copy)
    const before = JSON.parse((await at('newest')).out) as Shown
    // Of three slots there are now two, and one of them has made a checkpoint.
    const keyIsNowOf = (positiveMurmur2(Buffer.from(customer)) % 3) % 2
    const [other, own] = [1 - keyIsNowOf, keyIsNowOf]
    await ofNextPlan(copy, other, { plan: 2, slots: 2, epoch: 900_001 })
    await assert.rejects(at('newest'), {
      code: 'CHECKPOINT_CORRUPT',
      message: new RegExp(`slot ${own} of fraud, which has the key, has no checkpoint of plan 2`),
    })
    assert.deepEqual(JSON.parse((await at(String(before.epoch))).out), before)
    await ofNextPlan(copy, own, { plan: 2, slots: 2, epoch: 900_002 })
    for (const checkpoint of ['newest', '900002']) {
      const { slot, epoch } = JSON.parse((await at(checkpoint)).out) as Shown
      assert.deepEqual({ slot, epoch }, { slot: own, epoch: 900_002 })
    }
    assert.deepEqual(JSON.parse((await at(String(before.epoch))).out), before)
  })
})

/** The slot's newest checkpoint again, as if a later plan had made it. */
async function ofNextPlan(
  place: string,
  slot: number,
  { epoch, ...plan }: { readonly plan: number; readonly slots: number; readonly epoch: number },
): Promise<void> {
  const folder = join(place, `fraud/${slot}/manifests`)
  const newest = (await readdir(folder)).sort().at(-1)!
  const manifest = JSON.parse(await readFile(join(folder, newest), 'utf8')) as Manifest
  const genesis = JSON.stringify({ ...JSON.parse(manifest.resume!.genesis), ...plan })
  const bytes = JSON.stringify({ ...manifest, epoch, resume: { ...manifest.resume, genesis } })
  await writeFile(join(folder, `${String(epoch).padStart(16, '0')}-${sha256Hex(bytes)}`), bytes)
}
