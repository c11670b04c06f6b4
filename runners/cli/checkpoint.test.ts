import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock } from '../../kernel/index.js'
import {
  Checkpointer,
  DeltaSpool,
  MemoryDisk,
  openDirectoryStore,
  openRocksDb,
  StateStore,
  stringCodec,
} from '../../state/index.js'
import { checkpointVerb } from './checkpoint.js'

let root: string
let store: string
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'weir-checkpoint-verb-'))
  store = join(root, 'store')
  await makeCheckpoints()
})
after(() => rm(root, { recursive: true }))

/** Of two epochs. */
async function makeCheckpoints(): Promise<void> {
  const backend = new MemoryDisk().open()
  const spool = await DeltaSpool.open({ directory: join(root, 'spool'), onDropped: assert.fail })
  const state = await StateStore.open({ backend, keyGroups: 8, spool })
  const step = state.step('step')
  const value = step.value('value', stringCodec)
  const checkpoints = await openDirectoryStore(store)
  const checkpointer = new Checkpointer({
    store: checkpoints,
    app: 'fraud',
    slot: 2,
    backend,
    spool,
    clock: systemClock,
    everyMs: 0,
    onEvent: event => assert.equal(event.kind, 'checkpoint'),
  })
  for (const epoch of [1, 1, 2]) {
    await step.prefetch(['key'])
    step.beginCall()
    step.enter('key')
    value.set(`of ${epoch}`)
    step.endCall()
    await state.write(state.serialise(), { epoch, journalHash: `h${epoch}`, fingerprint: 'f' }, { sync: false })
    await checkpointer.afterWriteBack([])
    await checkpointer.idle()
  }
  await spool.close()
  await checkpoints.close()
}

async function weir(...args: string[]): Promise<{ code: number; out: string }> {
  let out = ''
  const io = {
    out: (line: string) => {
      out += line
    },
    err: assert.fail,
    write: async () => assert.fail(),
    interactive: false,
    signal: new AbortController().signal,
  }
  return { code: await checkpointVerb.run(args, io), out }
}

test('lists and inspects', async () => {
  const { code, out } = await weir('list', '--store', store)
  assert.equal(code, 0)
  assert.match(out, /^slot 2 {2}epoch 2 .* bytes in 2 segments\nslot 2 {2}epoch 1 .* bytes in 1 segments\n$/)
  assert.equal(JSON.parse((await weir('inspect', '--store', store)).out).epoch, 2)
  assert.equal(JSON.parse((await weir('inspect', '--store', store, '--epoch', '1')).out).journal_hash, 'h1')
  assert.equal((await weir('list', '--store', store, '--app', 'other')).out, '')
})

test('names what is no manifest, and passes it over', async () => {
  const stray = join(store, 'fraud/2/manifests/README')
  await writeFile(stray, 'whose checkpoints these are')
  const { out } = await weir('list', '--store', store)
  assert.match(
    out,
    /epoch 2 .*\n.*epoch 1 .*\nslot 2 {2}fraud\/2\/manifests\/README is no manifest's name: passed over\n$/,
  )
  assert.deepEqual(jsonLines((await weir('list', '--store', store, '--json')).out).at(-1), {
    slot: 2,
    passed_over: 'fraud/2/manifests/README',
  })
  assert.equal((await weir('verify', '--store', store)).code, 0)
  await rm(stray)
})

test('restores into a directory that holds nothing', async () => {
  const to = join(root, 'restored')
  await weir('restore', '--store', store, '--slot', '2', '--epoch', '1', '--to', to)
  const backend = await openRocksDb(to)
  const state = await StateStore.open({ backend, keyGroups: 8 })
  assert.deepEqual(state.reflects, { epoch: 1, journalHash: 'h1', fingerprint: 'f' })
  const step = state.step('step')
  const value = step.value('value', stringCodec)
  await step.prefetch(['key'])
  step.beginCall()
  step.enter('key')
  assert.equal(value.get(), 'of 1')
  await backend.close()
  await assert.rejects(weir('restore', '--store', store, '--to', to), { code: 'OUTPUT_UNWRITABLE' })
})

test('verifies, and says which is damaged', async () => {
  assert.equal((await weir('verify', '--store', store)).code, 0)
  const folder = join(store, 'fraud/2/segments')
  const delta = join(folder, (await readdir(folder)).sort().at(-1)!)
  const bytes = await readFile(delta)
  await writeFile(delta, bytes.subarray(1))
  const { code, out } = await weir('verify', '--store', store)
  assert.equal(code, 1)
  assert.match(out, /^slot 2 {2}epoch 2 {2}CHECKPOINT_CORRUPT: .*\nslot 2 {2}epoch 1 .* whole, 1 operations\n$/)
  const [second, first] = jsonLines((await weir('verify', '--store', store, '--json')).out)
  assert.deepEqual([second!.slot, second!.epoch, second!.code], [2, 2, 'CHECKPOINT_CORRUPT'])
  assert.deepEqual([first!.slot, first!.epoch, first!.operations], [2, 1, 1])
  await writeFile(delta, bytes)
})

test('does not take nothing for whole', async () => {
  for (const args of [
    ['--app', 'other'],
    ['--slot', '7'],
    ['--epoch', '9'],
  ]) {
    await assert.rejects(weir('verify', '--store', store, ...args), { code: 'CHECKPOINT_CORRUPT' }, args.join(' '))
  }
})

test('says it as JSON', async () => {
  const [second] = jsonLines((await weir('list', '--store', store, '--json')).out)
  assert.deepEqual([second!.slot, second!.epoch, second!.segments], [2, 2, 2])
  assert.ok(Number(second!.bytes) > 0 && Date.parse(String(second!.created_at)) > 0)
})

const jsonLines = (out: string): Record<string, unknown>[] =>
  out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>)

test('encrypts what is there, and then reads it with the key alone', async () => {
  const sealed = join(root, 'sealed')
  await cp(store, sealed, { recursive: true })
  const [one, other] = ['one', 'other'].map(name => join(root, `${name}.key`)) as [string, string]
  for (const path of [one, other]) await writeFile(path, randomBytes(32).toString('hex'), { mode: 0o600 })
  await assert.rejects(weir('reencrypt', '--store', sealed), { code: 'USAGE' })
  const objects = /^(\d+) objects, \1 of them encrypted anew\n$/
  assert.match((await weir('reencrypt', '--store', sealed, '--key-file', one)).out, objects)
  assert.match((await weir('reencrypt', '--store', sealed, '--key-file', one)).out, /, 0 of them encrypted anew\n$/)
  const plain = (await weir('list', '--store', store)).out
  assert.equal((await weir('list', '--store', sealed, '--key-file', one)).out, plain)
  assert.equal((await weir('verify', '--store', sealed, '--key-file', one)).code, 0)
  await assert.rejects(weir('list', '--store', sealed, '--key-file', other), { code: 'CHECKPOINT_KEY' })
  await assert.rejects(weir('list', '--store', store, '--key-file', one), { code: 'CHECKPOINT_KEY' })
  await assert.rejects(weir('list', '--store', sealed), { code: 'CHECKPOINT_KEY', message: /; there is none; / })
  const both = join(root, 'both.key')
  await writeFile(both, `${await readFile(other, 'utf8')}\n${await readFile(one, 'utf8')}\n`, { mode: 0o600 })
  const folder = join(sealed, 'fraud/2/segments')
  const [segment] = await readdir(folder)
  const whole = await readFile(join(folder, segment!))
  await writeFile(join(folder, segment!), whole.subarray(0, -1))
  const damaged = await weir('reencrypt', '--store', sealed, '--key-file', both)
  assert.equal(damaged.code, 1)
  const named = `^fraud/2/segments/${segment}  CHECKPOINT_CORRUPT: .*\n\\d+ objects, \\d+ of them encrypted anew; 1 could not `
  assert.match(damaged.out, new RegExp(named))
  await writeFile(join(folder, segment!), whole)
  const rest = await weir('reencrypt', '--store', sealed, '--key-file', both)
  assert.deepEqual([rest.code, /, 1 of them encrypted anew\n$/.test(rest.out)], [0, true])
  assert.equal((await weir('list', '--store', sealed, '--key-file', other)).out, plain)
})

test('refuses what it cannot make sense of', async () => {
  for (const args of [
    ['list'],
    ['list', '--store', 'no-such-directory'],
    ['burn', '--store', store],
    [],
    ['restore', '--store', store],
    ['list', '--store', store, '--to', 'x'],
  ]) {
    await assert.rejects(weir(...args), { code: 'USAGE' }, args.join(' '))
  }
  await assert.rejects(weir('inspect', '--store', store, '--epoch', '9'), { code: 'CHECKPOINT_CORRUPT' })
})
