import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { registryMissing, startRegistry } from './index.js'

const skip = (await registryMissing()) ?? false

describe('the schema registry for tests', { skip }, () => {
  it('registers a schema, and refuses one that cannot read what the first wrote', async t => {
    const { url, stop } = await startRegistry({ shared: true })
    t.after(stop)
    const subject = `services-${process.pid}-value`
    const send = async (method: string, path: string, body: unknown): Promise<{ status: number; body: unknown }> => {
      const headers = { 'content-type': 'application/vnd.schemaregistry.v1+json' }
      const reply = await fetch(url + path, { method, headers, body: JSON.stringify(body) })
      return { status: reply.status, body: await reply.json() }
    }
    const record = (fields: readonly unknown[]) => ({
      schema: JSON.stringify({ type: 'record', name: 'R', fields }),
    })
    const first = await send('POST', `/subjects/${subject}/versions`, record([{ name: 'a', type: 'string' }]))
    assert.equal(first.status, 200)
    await send('PUT', `/config/${subject}`, { compatibility: 'BACKWARD' })
    const second = await send('POST', `/subjects/${subject}/versions`, record([{ name: 'b', type: 'string' }]))
    assert.equal(second.status, 409, JSON.stringify(second.body))
  })
})
