import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AssertionError, type Clock, isWeirError, WeirError } from '../../kernel/index.js'
import { framing } from './framing.js'
import type { FoundSchema, SchemaRegistry } from './port.js'
import { type WriterSchema, WriterSchemas } from './writer-schemas.js'

const found: FoundSchema = { kind: 'avro', schema: '"string"' }

class FakeRegistry implements SchemaRegistry {
  readonly asked: number[] = []
  answer: (id: number, attempt: number) => FoundSchema = () => found

  async schemaOf(id: number): Promise<FoundSchema> {
    this.asked.push(id)
    return this.answer(id, this.asked.filter(each => each === id).length)
  }

  async latest(): Promise<undefined> {
    return undefined
  }

  async register(): Promise<number> {
    return 1
  }
}

function setUp(schemasMax?: number) {
  let nowMs = 0
  const clock: Clock = {
    nowMs: () => nowMs,
    sleep: async ms => {
      nowMs += ms
    },
  }
  const registry = new FakeRegistry()
  const schemas = new WriterSchemas(registry, clock, schemasMax === undefined ? {} : { schemasMax })
  return { registry, schemas, clock, pass: (ms: number) => (nowMs += ms) }
}

/** A batch whose records have these ids; null is a null value, text is JSON. */
function batch(ids: readonly (number | null | string)[]) {
  const values = ids.map(id => (typeof id === 'number' ? framing(id) : Buffer.from(id ?? '')))
  const ends = values.map((_, i) => values.slice(0, i + 1).reduce((sum, value) => sum + value.length, 0))
  return {
    count: ids.length,
    bytes: Buffer.concat(values),
    valueStart: Int32Array.from(ids.map((id, i) => (id === null ? -1 : ends[i]! - values[i]!.length))),
    valueEnd: Int32Array.from(ids.map((id, i) => (id === null ? -1 : ends[i]!))),
  }
}

const codeOf = (schema: WriterSchema): string => (schema.kind === 'avro' ? 'avro' : schema.code)

describe('writer schemas', () => {
  it('are asked for once, for framed values only', async () => {
    const { registry, schemas } = setUp()
    await schemas.prepare([batch([3, 3, null, '{}', '\0\0', 4]), batch([3, 4])])
    await schemas.prepare([batch([4, 3])])
    assert.deepEqual(registry.asked.sort(), [3, 4])
    assert.equal(codeOf(schemas.get(3)), 'avro')
    assert.throws(() => schemas.get(5), AssertionError)
  })

  it('are bounded; those longest unasked go first', async () => {
    const { registry, schemas } = setUp(2)
    await schemas.prepare([batch([1])])
    await schemas.prepare([batch([2])])
    await schemas.prepare([batch([1])])
    await schemas.prepare([batch([3])])
    assert.throws(() => schemas.get(2), AssertionError)
    assert.deepEqual(
      [1, 3].map(id => codeOf(schemas.get(id))),
      ['avro', 'avro'],
    )
    assert.deepEqual(registry.asked, [1, 2, 3])
    // A poll that holds more can still be decoded.
    await schemas.prepare([batch([4, 5, 6])])
    for (const id of [4, 5, 6]) assert.equal(codeOf(schemas.get(id)), 'avro')
  })

  it('that a follower of the registry learns a little later are not taken for unknown', async () => {
    const { registry, schemas } = setUp()
    registry.answer = (_, attempt) => (attempt < 3 ? { kind: 'unknown' } : found)
    await schemas.prepare([batch([1])])
    assert.equal(codeOf(schemas.get(1)), 'avro')
  })

  it('that are unknown are asked for again after a while', async () => {
    const { registry, schemas, pass } = setUp()
    registry.answer = () => ({ kind: 'unknown' })
    await schemas.prepare([batch([1])])
    await schemas.prepare([batch([1])])
    assert.equal(codeOf(schemas.get(1)), 'UNKNOWN_SCHEMA')
    assert.equal(registry.asked.length, 3)
    registry.answer = () => found
    pass(60_001)
    await schemas.prepare([batch([1])])
    assert.equal(codeOf(schemas.get(1)), 'avro')
  })

  it('are no property of a record while the registry does not answer', async () => {
    const { registry, schemas } = setUp()
    let down = true
    registry.answer = id => {
      if (down && id === 2) throw new WeirError('REGISTRY_UNREACHABLE', 'it is down')
      return found
    }
    await assert.rejects(schemas.prepare([batch([1, 2])]), error => isWeirError(error, 'REGISTRY_UNREACHABLE'))
    down = false
    await schemas.prepare([batch([1, 2])])
    assert.deepEqual(
      [1, 2].map(id => codeOf(schemas.get(id))),
      ['avro', 'avro'],
    )
    assert.deepEqual(
      registry.asked.filter(id => id === 1),
      [1],
    )
  })
})
