import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isWeirError, systemClock } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { MemoryDisk, MemoryLog } from '../../log/memory/index.js'
import { followTopic } from './follow.js'

const topic = 'decisions'

async function open(): Promise<{ log: MemoryLog; add: (...values: string[]) => Promise<unknown> }> {
  const log = new MemoryLog(new MemoryDisk(), { clock: systemClock })
  await log.createTopic(topic, 1)
  const add = (...values: string[]): Promise<unknown> =>
    log.append([{ topic, partition: 0, records: values.map(value => ({ key: null, value: Buffer.from(value) })) }])
  return { log, add }
}

async function take(from: AsyncIterable<Buffer>, count: number): Promise<string[]> {
  const taken: string[] = []
  for await (const value of from) {
    taken.push(value.toString())
    if (taken.length === count) break
  }
  return taken
}

describe('following a topic', () => {
  it('begins with what is there, and goes on with what comes', async () => {
    const { log, add } = await open()
    await add('1', '2')
    const taken = take(followTopic(log, { topic, partitions: 1 }, 'beginning', new AbortController().signal), 4)
    await add('3')
    await add('4', '5')
    assert.deepEqual(await taken, ['1', '2', '3', '4'])
  })

  it('begins further on when the beginning is trimmed before it is read', async () => {
    const { log, add } = await open()
    await add('1')
    await add('2')
    const values = followTopic(log, { topic, partitions: 1 }, 'beginning', new AbortController().signal)
    await log.range({ topic, partition: 0 })
    await log.trim({ topic, partition: 0, offset: offset(1) })
    assert.deepEqual(await take(values, 1), ['2'])
  })

  it('from the end begins where the log ended at the call, however late it is read', async () => {
    const { log, add } = await open()
    await add('old')
    const values = followTopic(log, { topic, partitions: 1 }, 'end', new AbortController().signal)
    await add('new')
    assert.deepEqual(await take(values, 1), ['new'])
  })

  it('ends when it is aborted, while it waits or between two values', async () => {
    const { log, add } = await open()
    await add('1', '2')
    const waiting = new AbortController()
    const nothing = take(followTopic(log, { topic, partitions: 1 }, 'end', waiting.signal), 1)
    // gives the poll a turn, so that the abort meets it waiting
    await new Promise(resolve => setImmediate(resolve))
    waiting.abort()
    assert.deepEqual(await nothing, [])

    const between = new AbortController()
    const seen: string[] = []
    for await (const value of followTopic(log, { topic, partitions: 1 }, 'beginning', between.signal)) {
      seen.push(value.toString())
      between.abort()
    }
    assert.deepEqual(seen, ['1'])
  })

  it('does not jump over what was trimmed away under a slow reader', async () => {
    const { log, add } = await open()
    await add('1')
    const values = followTopic(log, { topic, partitions: 1 }, 'beginning', new AbortController().signal)[
      Symbol.asyncIterator
    ]()
    assert.equal((await values.next()).value?.toString(), '1')
    await add('2', '3')
    await log.trim({ topic, partition: 0, offset: offset(3) })
    await add('4')
    await assert.rejects(values.next(), error => isWeirError(error, 'OFFSET_OUT_OF_RANGE'))
  })

  it('of an unknown topic fails where it is read', async () => {
    const { log } = await open()
    const values = followTopic(log, { topic: 'no-such', partitions: 1 }, 'end', new AbortController().signal)
    await assert.rejects(take(values, 1), error => isWeirError(error, 'UNKNOWN_TOPIC'))
  })
})
