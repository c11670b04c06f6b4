/** The port against a real registry, and against the client of @kafkajs/confluent-schema-registry, which is not ours. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, before, describe, it } from 'node:test'
import { SchemaRegistry as ForeignRegistry, SchemaType } from '@kafkajs/confluent-schema-registry'
import { isWeirError, systemClock } from '../../kernel/index.js'
import { type RegistryForTests, registryMissing, startProxy, startRegistry } from '../../testing/services/index.js'
import { RecordError } from '../avro/index.js'
import { transactionValues } from './decoders.js'
import { transactionAvro } from './encode.js'
import { HttpSchemaRegistry } from './http.js'
import { schemaText } from './schemas.js'
import { registerSchema } from './subjects.js'
import { WriterSchemas } from './writer-schemas.js'

const skip = (await registryMissing()) ?? false
const transaction = {
  transaction_id: 't-1',
  event_time: 1_522_540_831_000,
  customer_id: '596',
  terminal_id: '3156',
  amount_minor: 5_725,
  currency: 'EUR',
}

describe('a real schema registry', { skip }, () => {
  const prefix = `http-test-${process.pid}.`
  let running: RegistryForTests
  let ours: HttpSchemaRegistry
  let foreign: ForeignRegistry

  before(async () => {
    running = await startRegistry({ shared: true })
    ours = new HttpSchemaRegistry({ url: running.url, clock: systemClock })
    foreign = new ForeignRegistry({ host: running.url })
  })
  after(() => running?.stop())

  it('takes our schemas once, and gives each an id by which it is found', async () => {
    for (const name of ['transaction', 'label', 'decision'] as const) {
      const id = await registerSchema(ours, `${prefix}${name}`, name)
      assert.equal(await registerSchema(ours, `${prefix}${name}`, name), id)
      const found = await ours.schemaOf(id)
      assert.ok(found.kind === 'avro')
      assert.deepEqual(JSON.parse(found.schema), JSON.parse(schemaText(name)))
      assert.equal(await foreign.getLatestSchemaId(`${prefix}${name}-value`), id)
    }
    assert.deepEqual(await ours.schemaOf(987_654_321), { kind: 'unknown' })
    assert.equal(await ours.latest(`${prefix}nothing-value`), undefined)
  })

  it('carries transactions from a foreign producer with a schema of its own, and ours to a foreign consumer', async () => {
    const theirs = JSON.parse(schemaText('transaction')) as { fields: { default?: unknown }[] }
    const schema = { ...theirs, namespace: 'bank', fields: theirs.fields.filter(field => field.default === undefined) }
    const { id } = await foreign.register(
      { type: SchemaType.AVRO, schema: JSON.stringify(schema) },
      { subject: `${prefix}foreign-value` },
    )
    const value = await foreign.encode(id, transaction)
    const schemas = new WriterSchemas(ours, systemClock)
    const batch = { count: 1, bytes: value, valueStart: Int32Array.of(0), valueEnd: Int32Array.of(value.length) }
    await schemas.prepare([batch])
    const read = transactionValues({ cardKey: 'key', schemas }).decode(value, 0, value.length)
    assert.ok(!(read instanceof RecordError))
    const { transaction_id, amount_minor, email } = read
    assert.deepEqual(
      { transaction_id, amount_minor, email },
      { transaction_id: 't-1', amount_minor: 5_725, email: null },
    )

    const ourId = await registerSchema(ours, `${prefix}written`, 'transaction')
    const decoded = (await foreign.decode(transactionAvro(ourId)(read))) as Record<string, unknown>
    assert.equal(decoded.customer_id, '596')
  })

  it('with a subject that cannot evolve ends the start with the subject and the difference', async () => {
    const other = { type: 'record', name: 'Transaction', fields: [{ name: 'transaction_id', type: 'string' }] }
    await foreign.register(
      { type: SchemaType.AVRO, schema: JSON.stringify(other) },
      { subject: `${prefix}conflict-value` },
    )
    await assert.rejects(registerSchema(ours, `${prefix}conflict`, 'transaction'), error => {
      assert.ok(isWeirError(error, 'SCHEMA_CONFLICT'))
      assert.match(error.message, /http-test-\d+\.conflict-value .*event_time/)
      return true
    })
  })

  it('that refuses our schema by the rules of the subject is quoted', async () => {
    const subject = `${prefix}strict-value`
    const fields = (JSON.parse(schemaText('label')) as { fields: unknown[] }).fields
    const extended = {
      type: 'record',
      name: 'Label',
      namespace: 'weir.v1',
      fields: [...fields, { name: 'extra', type: 'string' }],
    }
    const headers = { 'content-type': 'application/json' }
    const put = { method: 'PUT', headers, body: JSON.stringify({ compatibility: 'FULL' }) }
    await foreign.register({ type: SchemaType.AVRO, schema: JSON.stringify(extended) }, { subject })
    assert.ok((await fetch(`${running.url}/config/${subject}`, put)).ok)
    // Ours can read what is there; what is there could not read ours.
    await assert.rejects(registerSchema(ours, `${prefix}strict`, 'label'), error => {
      assert.ok(isWeirError(error, 'SCHEMA_CONFLICT'))
      assert.match(error.message, /the registry refuses our schema for http-test-\d+\.strict-value: ./)
      return true
    })
  })

  it('that does not answer, or refuses, or is cut off, is unreachable; one request later it is there again', async t => {
    const { hostname, port, pathname } = new URL(running.url)
    const proxy = await startProxy({ host: hostname, port: Number(port) })
    t.after(() => proxy.close())
    const url = `http://user:secret@${proxy.address}${pathname}`
    const registry = new HttpSchemaRegistry({ url, clock: systemClock, requestMsMax: 300, pauseMs: 1 })
    const unreachable = (error: unknown): boolean => {
      assert.ok(isWeirError(error, 'REGISTRY_UNREACHABLE'))
      assert.doesNotMatch(`${error.stack}`, /secret/)
      return true
    }
    proxy.set({ kind: 'refuse' })
    await assert.rejects(registry.schemaOf(1), unreachable)
    proxy.set({ kind: 'hold', direction: 'both' })
    await assert.rejects(registry.schemaOf(1), unreachable)
    proxy.set({ kind: 'none' })
    proxy.cut()
    assert.equal(await registry.latest(`${prefix}nothing-value`), undefined)
  })
})

describe('something else at the address of the registry', () => {
  it('is told apart from an answer, and gets the credentials in their header alone', async t => {
    const seen: (string | undefined)[] = []
    let status = 200
    const server = createServer((request, response) => {
      seen.push(request.headers.authorization)
      response.writeHead(status).end('<html>')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const { port } = server.address() as { port: number }
    const url = `http://user:p%40ss@127.0.0.1:${port}/`
    const registry = new HttpSchemaRegistry({ url, clock: systemClock, pauseMs: 1 })
    const bare = `http://127.0.0.1:${port}`
    const credentials = { username: 'user', password: 'p@ss' }
    const same = new HttpSchemaRegistry({ url: bare, credentials, clock: systemClock, pauseMs: 1 })
    await assert.rejects(same.latest('s'), error => isWeirError(error, 'REGISTRY_UNREACHABLE'))
    for (status of [200, 401, 500]) {
      await assert.rejects(registry.schemaOf(1), error => isWeirError(error, 'REGISTRY_UNREACHABLE'))
      await assert.rejects(registry.register('s', '"string"'), error => isWeirError(error, 'REGISTRY_UNREACHABLE'))
    }
    assert.deepEqual([...new Set(seen)], [`Basic ${Buffer.from('user:p@ss').toString('base64')}`])
    assert.throws(
      () => new HttpSchemaRegistry({ url: 'p@ss', clock: systemClock }),
      error => {
        assert.ok(isWeirError(error, 'USAGE'))
        assert.doesNotMatch(error.message, /p@ss/)
        return true
      },
    )
  })

  it('a protobuf schema is not taken for Avro', async t => {
    const server = createServer((_, response) => response.end('{"schema":"syntax","schemaType":"PROTOBUF"}'))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const { port } = server.address() as { port: number }
    const registry = new HttpSchemaRegistry({ url: `http://127.0.0.1:${port}`, clock: systemClock })
    assert.deepEqual(await registry.schemaOf(1), { kind: 'other', type: 'PROTOBUF' })
  })
})
