import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type ErrorCode, isWeirError, millis } from '../../kernel/index.js'
import { type Append, type EncodedRecords, offset } from '../port.js'
import { FileLog, type FileLogOptions } from './file-log.js'

const root = mkdtempSync(join(tmpdir(), 'weir-file-log-'))
after(() => rmSync(root, { recursive: true }))

let folders = 0
function options(): FileLogOptions {
  const directory = join(root, String(folders++))
  mkdirSync(directory)
  const input = join(directory, 'input.csv')
  writeFileSync(input, 'a,b\n1,2\n3,4\n')
  return {
    input: { path: input, topic: 'transactions', hasHeader: true },
    outputs: new Map([
      ['decisions', join(directory, 'out.ndjson')],
      ['dead', join(directory, 'out.dead-letter.ndjson')],
    ]),
    journal: { topic: 'epochs', path: join(directory, 'journal') },
  }
}

const pathOf = (given: FileLogOptions, topic: string): string => given.outputs.get(topic)!
const contents = (given: FileLogOptions, topic: string): string => readFileSync(pathOf(given, topic), 'utf8')
const fails =
  (code: ErrorCode, message = /./) =>
  (error: unknown): boolean =>
    isWeirError(error, code) && message.test(error.message)

function encoded(values: readonly string[]): EncodedRecords {
  // as an encoder reuses its buffer: something stands before the first value
  const bytes = Buffer.from(`#${values.map(value => `${value}\n`).join('')}#`)
  const valueStart = new Int32Array(values.length + 3)
  const valueEnd = new Int32Array(values.length + 3)
  let at = 1
  values.forEach((value, i) => {
    valueStart[i] = at
    valueEnd[i] = at + value.length
    at += value.length + 1
  })
  return { kind: 'encoded', count: values.length, bytes, valueStart, valueEnd, keys: values.map(() => 'k') }
}

const lines = (topic: string, values: readonly string[]): Append => ({
  topic,
  partition: 0,
  records: values.map(value => ({ key: null, value: Buffer.from(value) })),
})

function epoch(n: number): Append[] {
  return [
    { topic: 'decisions', partition: 0, records: encoded([`decision ${n}a`, `decision ${n}b`]) },
    lines('dead', n % 2 === 0 ? [`dead ${n}`] : []),
    lines('epochs', [`epoch ${n}`]),
  ]
}

async function write(given: FileLogOptions, from: number, to: number): Promise<void> {
  const log = await FileLog.open(given)
  const committer = await log.committer('slot-0')
  for (let n = from; n < to; n++) await committer.commit(epoch(n))
  await log.close()
}

async function journal(log: FileLog, from = 0): Promise<string[]> {
  const reader = await log.reader([{ topic: 'epochs', partition: 0, offset: offset(from) }])
  const values: string[] = []
  for (;;) {
    const batches = await reader.poll({ recordsMax: 2, bytesMax: 1_000, waitMsMax: millis(0) })
    if (batches.length === 0) break
    for (const batch of batches) {
      assert.equal(Number(batch.baseOffset), from + values.length)
      for (let i = 0; i < batch.count; i++)
        values.push(batch.bytes.toString('utf8', batch.valueStart[i], batch.valueEnd[i]))
    }
  }
  assert.equal(reader.finished, false)
  return values
}

/** What a re-opened log holds: its epochs, and outputs that fit them exactly. */
async function reopened(given: FileLogOptions): Promise<{ epochs: number; givenUp: number }> {
  const log = await FileLog.open(given)
  const epochs = await journal(log)
  assert.deepEqual(
    epochs,
    epochs.map((_, n) => `epoch ${n}`),
  )
  assert.equal(contents(given, 'decisions'), epochs.map((_, n) => `decision ${n}a\ndecision ${n}b\n`).join(''))
  assert.equal(contents(given, 'dead'), epochs.map((_, n) => (n % 2 === 0 ? `dead ${n}\n` : '')).join(''))
  const range = await log.range({ topic: 'epochs', partition: 0 })
  assert.equal(Number(range.latest), epochs.length)
  await log.close()
  return { epochs: epochs.length, givenUp: log.epochsGivenUp }
}

test('commits are in the files and in the journal, and go on after re-opening', async () => {
  const given = options()
  await write(given, 0, 3)
  assert.deepEqual(await reopened(given), { epochs: 3, givenUp: 0 })
  await write(given, 3, 5)
  assert.deepEqual(await reopened(given), { epochs: 5, givenUp: 0 })
})

test('outputs exist even when nothing goes into them, and old contents are gone without a journal', async () => {
  const given = options()
  writeFileSync(pathOf(given, 'decisions'), 'an older run\n')
  const log = await FileLog.open(given)
  await log.close()
  assert.equal(contents(given, 'decisions'), '')
  assert.equal(contents(given, 'dead'), '')
})

test('header, progress, ranges and topics', async () => {
  const given = options()
  const log = await FileLog.open(given)
  assert.equal(log.header(), 'a,b')
  assert.equal(log.headerLines, 1)
  assert.deepEqual(log.progress(), { bytesRead: 0, bytesTotal: 12 })
  const reader = await log.reader([{ topic: 'transactions', partition: 0, offset: offset(0) }])
  const [batch] = await reader.poll({ recordsMax: 10, bytesMax: 1_000, waitMsMax: millis(0) })
  assert.equal(batch!.count, 2)
  assert.ok(reader.finished)
  assert.deepEqual(log.progress(), { bytesRead: 12, bytesTotal: 12 })
  assert.deepEqual(await log.range({ topic: 'transactions', partition: 0 }), { earliest: 0n, latest: 2n })
  assert.equal(await log.partitionCount('decisions'), 1)
  await assert.rejects(log.partitionCount('other'), fails('UNKNOWN_TOPIC'))
  await assert.rejects(log.range({ topic: 'transactions', partition: 1 }), fails('UNKNOWN_TOPIC'))
  await assert.rejects(log.reader([{ topic: 'decisions', partition: 0, offset: offset(0) }]), fails('UNKNOWN_TOPIC'))
  const beyond = await log.reader([{ topic: 'epochs', partition: 0, offset: offset(1) }])
  await assert.rejects(beyond.poll({ recordsMax: 1, bytesMax: 1, waitMsMax: millis(0) }), fails('OFFSET_OUT_OF_RANGE'))
  await log.close()
})

test('a tail torn at any byte of the last frame is cut, with what it would have committed', async () => {
  const given = options()
  await write(given, 0, 2)
  const before = statSync(given.journal.path).size
  await write(given, 2, 3)
  const whole = readFileSync(given.journal.path)
  const outputs = [...given.outputs.values()].map(path => [path, readFileSync(path)] as const)
  for (let size = before; size < whole.length; size++) {
    writeFileSync(given.journal.path, whole.subarray(0, size))
    for (const [path, bytes] of outputs) writeFileSync(path, bytes)
    assert.deepEqual(await reopened(given), { epochs: 2, givenUp: 0 }, `cut at ${size}`)
    await write(given, 2, 3)
    assert.deepEqual(readFileSync(given.journal.path), whole, `written again after a cut at ${size}`)
  }
})

test('a journal cut within its header is a new one', async () => {
  const given = options()
  await write(given, 0, 0)
  const header = readFileSync(given.journal.path)
  for (let size = 0; size < header.length; size++) {
    writeFileSync(given.journal.path, header.subarray(0, size))
    assert.deepEqual(await reopened(given), { epochs: 0, givenUp: 0 })
    assert.deepEqual(readFileSync(given.journal.path), header)
  }
})

test('zeros and garbage behind the last frame are a torn tail', async () => {
  for (const tail of [Buffer.alloc(5_000), Buffer.from('garbage'), Buffer.from([255, 255, 255, 255, 1, 1, 1, 1, 1])]) {
    const given = options()
    await write(given, 0, 3)
    appendFileSync(given.journal.path, tail)
    appendFileSync(pathOf(given, 'decisions'), 'half a dec')
    assert.deepEqual(await reopened(given), { epochs: 3, givenUp: 0 })
  }
})

test('damage before the last frame is never passed over, whichever byte it is', async () => {
  const given = options()
  await write(given, 0, 1)
  const from = statSync(given.journal.path).size
  await write(given, 1, 2)
  const to = statSync(given.journal.path).size
  await write(given, 2, 3)
  const whole = readFileSync(given.journal.path)
  for (let at = from; at < to; at++) {
    const bytes = Buffer.from(whole)
    bytes[at]! ^= 0x41
    writeFileSync(given.journal.path, bytes)
    await assert.rejects(FileLog.open(given), fails('JOURNAL_CORRUPT'), `byte ${at}`)
    assert.deepEqual(readFileSync(given.journal.path), bytes, 'nothing is changed')
  }
  writeFileSync(given.journal.path, whole)
  assert.deepEqual(await reopened(given), { epochs: 3, givenUp: 0 })
})

test('journals of other versions, other outputs, or none', async () => {
  const given = options()
  await write(given, 0, 1)
  const whole = readFileSync(given.journal.path)
  const other = { ...given, outputs: new Map([['else', join(root, 'else')]]) }
  await assert.rejects(FileLog.open(other), fails('REPLAY_MISMATCH'))
  assert.ok(!existsSync(join(root, 'else')))
  const changed = async (at: number, code: ErrorCode): Promise<void> => {
    const bytes = Buffer.from(whole)
    bytes[at]! += 1
    writeFileSync(given.journal.path, bytes)
    await assert.rejects(FileLog.open(given), fails(code))
  }
  await changed(0, 'JOURNAL_CORRUPT')
  await changed(8, 'STATE_FORMAT')
  await changed(24, 'JOURNAL_CORRUPT')
})

test('an output that became shorter: back to the newest epoch that all outputs hold', async () => {
  for (const [topic, cut, left] of [
    ['decisions', 1, 4],
    ['decisions', 48, 3],
    ['dead', 1, 4],
    ['dead', 8, 2],
  ] as const) {
    const given = options()
    await write(given, 0, 5)
    truncateSync(pathOf(given, topic), statSync(pathOf(given, topic)).size - cut)
    assert.deepEqual(await reopened(given), { epochs: left, givenUp: 5 - left }, `${topic} - ${cut}`)
    await write(given, left, 5)
    assert.deepEqual(await reopened(given), { epochs: 5, givenUp: 0 })
  }
  const given = options()
  await write(given, 0, 5)
  rmSync(pathOf(given, 'decisions'))
  assert.deepEqual(await reopened(given), { epochs: 0, givenUp: 5 })
})

test('a newer committer fences the older; a failed one is dead and leaves nothing behind', async () => {
  const given = options()
  const log = await FileLog.open(given)
  const first = await log.committer('slot-0')
  await first.commit(epoch(0))
  const second = await log.committer('slot-0')
  await assert.rejects(first.commit(epoch(1)), fails('SLOT_FENCED'))
  await assert.rejects(second.commit([...epoch(1).slice(0, 1), lines('other', ['x'])]), fails('UNKNOWN_TOPIC'))
  await assert.rejects(second.commit(epoch(1)), fails('COMMIT_INDEFINITE'))
  const third = await log.committer('slot-0')
  assert.equal(contents(given, 'decisions'), 'decision 0a\ndecision 0b\n')
  await third.commit(epoch(1))
  await log.close()
  await assert.rejects(third.commit(epoch(2)), fails('SLOT_FENCED'))
  assert.deepEqual(await reopened(given), { epochs: 2, givenUp: 0 })
})

test('the input is never overwritten, and outputs are files of their own', async () => {
  const given = options()
  const same = { ...given, outputs: new Map([['decisions', given.input.path]]) }
  await assert.rejects(FileLog.open(same), fails('USAGE'))
  const folder = { ...given, outputs: new Map([['decisions', root]]) }
  await assert.rejects(FileLog.open(folder), fails('OUTPUT_UNWRITABLE'))
  const device = {
    ...given,
    journal: { topic: 'epochs', path: `${given.journal.path}2` },
    outputs: new Map([['decisions', '/dev/null']]),
  }
  await assert.rejects(FileLog.open(device), fails('OUTPUT_UNWRITABLE', /regular/))
  assert.equal(readFileSync(given.input.path, 'utf8'), 'a,b\n1,2\n3,4\n')
})

test('one log at a time; a lock of the dead is taken over', async () => {
  const given = options()
  const lock = join(given.journal.path, '..', 'lock')
  const log = await FileLog.open(given)
  assert.match(readFileSync(lock, 'utf8'), new RegExp(`^${process.pid} `))
  await assert.rejects(FileLog.open(given), fails('DIRECTORY_IN_USE', new RegExp(`process ${process.pid}`)))
  await log.close()
  assert.ok(!existsSync(lock))
  // another process that lives, one that is dead, our own id from an earlier life, and nothing readable
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  const otherPid = other.pid!
  writeFileSync(lock, `${otherPid} \n`)
  await assert.rejects(FileLog.open(given), fails('DIRECTORY_IN_USE', new RegExp(`process ${otherPid}`)))
  other.kill('SIGKILL')
  await once(other, 'exit')
  for (const text of [`${otherPid} \n`, `${process.pid} 1\n`, '', 'x\n']) {
    writeFileSync(lock, text)
    const taken = await FileLog.open(given)
    assert.match(readFileSync(lock, 'utf8'), new RegExp(`^${process.pid} `))
    await taken.close()
  }
})

test('killed with -9 amid commits: whole epochs are left, and a new owner goes on', async () => {
  const given = options()
  const script = `
    import { FileLog } from ${JSON.stringify(new URL('./file-log.js', import.meta.url).href)}
    const given = JSON.parse(process.argv[1])
    const log = await FileLog.open({ ...given, outputs: new Map(given.outputs) })
    const committer = await log.committer('slot-0')
    const line = text => ({ key: null, value: Buffer.from(text) })
    for (let n = 0; ; n++) {
      await committer.commit([
        { topic: 'decisions', partition: 0, records: [line('decision ' + n + 'a'), line('decision ' + n + 'b')] },
        { topic: 'dead', partition: 0, records: n % 2 === 0 ? [line('dead ' + n)] : [] },
        { topic: 'epochs', partition: 0, records: [line('epoch ' + n)] },
      ])
      if (n === 20) process.stdout.write('busy')
    }`
  const child = spawn(
    process.execPath,
    ['--input-type=module', '-e', script, JSON.stringify({ ...given, outputs: [...given.outputs] })],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  await once(child.stdout!, 'data')
  await assert.rejects(FileLog.open(given), fails('DIRECTORY_IN_USE'))
  child.kill('SIGKILL')
  await once(child, 'exit')
  const { epochs, givenUp } = await reopened(given)
  assert.ok(epochs > 20)
  assert.equal(givenUp, 0)
  await write(given, epochs, epochs + 2)
  assert.deepEqual(await reopened(given), { epochs: epochs + 2, givenUp: 0 })
})
