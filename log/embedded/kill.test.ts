/**
 * kill -9 of a process that appends and commits in a loop: whatever it acknowledged is there afterwards, and of a
 * transaction all or nothing. This file is also the process that is killed.
 */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { millis } from '../../kernel/index.js'
import { type Append, offset } from '../port.js'
import { EmbeddedLog } from './index.js'
import { openRocksForTests } from './rocks-for-tests.js'

const topic = 'killed'
const acknowledgements = [40, 1, 173]

const childDirectory = process.argv[2] === 'writer' ? process.argv[3] : undefined
if (childDirectory !== undefined) await writeForEver(childDirectory)
else it('survives kill -9 with everything that was acknowledged', survives)

async function writeForEver(directory: string): Promise<void> {
  const log = await EmbeddedLog.open({ db: await openRocksForTests(directory) })
  await log.createTopic(topic, 3)
  const committer = await log.committer('slot-0')
  let i = Number((await log.range({ topic, partition: 0 })).latest)
  const record = (partition: number): Append => ({
    topic,
    partition,
    records: [{ key: null, value: Buffer.from(`${i}`) }],
  })
  for (;;) {
    await log.append([record(0)])
    await committer.commit([record(1), record(2)])
    process.send?.(i++)
  }
}

async function survives(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'weir-kill-'))
  try {
    let acknowledged = -1
    for (const count of acknowledgements) {
      const child = fork(import.meta.filename, ['writer', directory])
      let seen = 0
      child.on('message', (i: number) => {
        acknowledged = i
        if (++seen === count) child.kill('SIGKILL')
      })
      await once(child, 'exit')
      assert.ok(seen >= count, 'the writer ended by itself')
      await check(directory, acknowledged)
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function check(directory: string, acknowledged: number): Promise<void> {
  const db = await openRocksForTests(directory)
  const log = await EmbeddedLog.open({ db })
  const values = await Promise.all([0, 1, 2].map(partition => valuesOf(log, partition)))
  const [inputs, left, right] = values as [string[], string[], string[]]
  assert.deepEqual(left, right)
  assert.ok(left.length > acknowledged, `${left.length} commits, ${acknowledged} acknowledged`)
  assert.ok(inputs.length >= left.length, 'no decision without its input')
  for (const list of values) assert.deepEqual(list, Array.from(list.keys(), String))
  // the writer starts again after its last input: bring the partitions level
  const missing = inputs.slice(left.length).map(text => ({ key: null, value: Buffer.from(text) }))
  await (await log.committer('slot-0')).commit([1, 2].map(partition => ({ topic, partition, records: missing })))
  await log.close()
  await db.close()
}

async function valuesOf(log: EmbeddedLog, partition: number): Promise<string[]> {
  const { latest } = await log.range({ topic, partition })
  const reader = await log.reader([{ topic, partition, offset: offset(0) }])
  const values: string[] = []
  while (reader.positions()[0]!.offset < latest) {
    for (const batch of await reader.poll({ recordsMax: 100, bytesMax: 1 << 20, waitMsMax: millis(0) })) {
      for (let i = 0; i < batch.count; i++)
        values.push(batch.bytes.toString('utf8', batch.valueStart[i], batch.valueEnd[i]))
    }
  }
  await reader.close()
  return values
}
