import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Clock, isWeirError, millis, WeirError } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { MemoryDisk, MemoryLog } from '../../log/memory/index.js'
import { framing, type SchemaRegistry, WriterSchemas } from '../../schemas/registry/index.js'
import { readerWithSchemas } from './index.js'

const limits = { recordsMax: 10, bytesMax: 1 << 20, waitMsMax: millis(0) }

/** A log with one framed record, a registry that fails as often as it is told, and a clock whose sleeps are noted. */
async function setUp(failures: number) {
  const log = new MemoryLog(new MemoryDisk())
  await log.createTopic('t', 1)
  await log.append([{ topic: 't', partition: 0, records: [{ key: null, value: framing(7) }] }])
  const sleeps: number[] = []
  const clock: Clock = {
    nowMs: () => 0,
    sleep: ms => {
      sleeps.push(ms)
      return new Promise(resolve => setImmediate(resolve))
    },
  }
  let left = failures
  const registry: SchemaRegistry = {
    schemaOf: async () => {
      if (left-- > 0) throw new WeirError('REGISTRY_UNREACHABLE', 'it is down')
      return { kind: 'avro', schema: '"string"' }
    },
    latest: async () => undefined,
    register: async () => 1,
  }
  const schemas = new WriterSchemas(registry, clock)
  const told: (string | undefined)[] = []
  const inner = await log.reader([{ topic: 't', partition: 0, offset: offset(0) }])
  const reader = readerWithSchemas(inner, { schemas, clock, onUnreachable: why => told.push(why) })
  return { log, reader, schemas, sleeps, told }
}

describe('a reader with schemas', () => {
  it('hands records out once their schemas are known, however long the registry is away', async () => {
    const { reader, schemas, sleeps, told } = await setUp(8)
    const batches = await reader.poll(limits)
    assert.equal(batches[0]?.count, 1)
    assert.equal(schemas.get(7).kind, 'avro')
    assert.deepEqual(sleeps, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000])
    assert.equal(told.length, 9)
    assert.match(told[7] ?? '', /it is down/)
    assert.equal(told[8], undefined)
    assert.deepEqual(reader.positions(), [{ topic: 't', partition: 0, offset: offset(1) }])
  })

  it('says nothing of a registry that answers, and passes seek on', async () => {
    const { reader, told } = await setUp(0)
    await reader.poll(limits)
    reader.seek({ topic: 't', partition: 0, offset: offset(0) })
    assert.equal((await reader.poll(limits)).length, 1)
    assert.deepEqual(told, [])
    assert.equal(reader.finished, false)
  })

  it('ends its waiting when it is closed', async () => {
    const { reader, told } = await setUp(Number.POSITIVE_INFINITY)
    const polled = assert.rejects(reader.poll(limits), error => isWeirError(error, 'REGISTRY_UNREACHABLE'))
    while (told.length === 0) await new Promise(resolve => setImmediate(resolve))
    await reader.close()
    await polled
  })
})
