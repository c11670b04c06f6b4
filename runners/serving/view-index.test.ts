import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decisionAvroFormat, decisionFormat } from '../../fraud/index.js'
import { eventTime, isWeirError } from '../../kernel/index.js'
import { offset, type RecordBatch } from '../../log/index.js'
import type { Decision } from '../../schemas/avro/index.js'
import { MemoryDisk } from '../../state/index.js'
import { decisionIdsOf } from './decision-ids.js'
import { ViewIndex } from './view-index.js'

function batchOf(partition: number, base: number, values: readonly Buffer[]): RecordBatch {
  const ends = values.map((_, i) => values.slice(0, i + 1).reduce((sum, { length }) => sum + length, 0))
  return {
    topic: 'decisions',
    partition,
    count: values.length,
    baseOffset: offset(base),
    nextOffset: offset(base + values.length),
    offsetDelta: Int32Array.from(values.keys()),
    bytes: Buffer.concat(values),
    keyStart: new Int32Array(values.length),
    keyEnd: new Int32Array(values.length),
    valueStart: Int32Array.from(ends.map((end, i) => end - values[i]!.length)),
    valueEnd: Int32Array.from(ends),
  }
}

const json = (transaction_id: string, customer_id: string): Buffer =>
  Buffer.from(JSON.stringify({ transaction_id, customer_id }))

const decision = (transaction_id: string, customer_id: string): Decision => ({
  decision_id: 'd'.repeat(64),
  transaction_id,
  customer_id,
  event_time: eventTime(0),
  outcome: 'approve',
  outcome_source: 'default',
  score: null,
  adjusted_score: null,
  risk_level: 'not_assessed',
  reason_codes: [],
  rule_hits: [],
  models: [],
  config: { ruleset_version: '', feature_set_version: '', policy_version: '' },
  feature_names: [],
  features: [],
  late: false,
  provisional: false,
  degraded: null,
  source: { topic: 'transactions', partition: 0, offset: 0 },
})

describe('the ids of a decision', () => {
  it('are read from JSON and Avro alike, whatever they hold', () => {
    for (const [transaction, customer] of [
      ['a', 'c'],
      ['ä€😀', 'ü'.repeat(64)],
      ['"\\', '/{}'],
    ] as const) {
      for (const format of [decisionFormat(), decisionAvroFormat(7)]) {
        const encoder = format.encoder()
        encoder.reset()
        encoder.append(decision(transaction, customer), eventTime(0), { nowMs: 1, timingsUs: null })
        const { bytes, valueStart, valueEnd } = encoder.encoded()
        const batch = batchOf(0, 0, [Buffer.from(bytes.subarray(valueStart[0], valueEnd[0]))])
        assert.deepEqual(decisionIdsOf(batch, 0), { transactionId: transaction, customerId: customer })
      }
    }
  })

  it('are missing in what is no decision', () => {
    for (const value of [
      '',
      '{',
      '{"transaction_id":1,"customer_id":"c"}',
      '\0\0\0\0\u0001\u0080',
      '\0\0\0\0\u0001\x08abcd\x40',
    ]) {
      const batch = batchOf(0, 0, [Buffer.from(value, 'latin1')])
      assert.throws(
        () => decisionIdsOf(batch, 0),
        error => isWeirError(error, 'LOG_CORRUPT'),
        JSON.stringify(value),
      )
    }
  })
})

describe('the index of a view', () => {
  it('finds the place of a decision in any partition, and knows how far it has folded', async () => {
    const index = new ViewIndex(new MemoryDisk().open())
    assert.deepEqual(await index.positions(2), [undefined, undefined])
    const at = (partition: number, n: number) => ({ topic: 'decisions', partition, offset: offset(n) })
    await index.fold(
      [batchOf(0, 5, [json('a', 'c'), json('b', 'c')]), batchOf(1, 0, [json('a', 'd')])],
      [at(0, 8), at(1, 1)],
      assert.ifError,
    )
    assert.deepEqual(await index.positions(2), [8n, 1n])
    assert.deepEqual(await index.lookUp('b', undefined), { kind: 'at', partition: 0, offset: 6n })
    assert.deepEqual(await index.lookUp('a', 'd'), { kind: 'at', partition: 1, offset: 0n })
    assert.deepEqual(await index.lookUp('a', undefined), { kind: 'ambiguous' })
    assert.deepEqual(await index.lookUp('a', 'b'), { kind: 'unknown' })
    assert.deepEqual(await index.lookUp('', undefined), { kind: 'unknown' })
  })

  it('is swept in steps of what the log no longer has, and of nothing else', async () => {
    const disk = new MemoryDisk()
    const index = new ViewIndex(disk.open())
    const values = Array.from({ length: 25 }, (_, i) => json(`t${i}`, 'c'))
    await index.fold(
      [
        batchOf(0, 0, values),
        batchOf(
          1,
          0,
          values.map((_, i) => json(`u${i}`, 'c')),
        ),
      ],
      [],
      assert.ifError,
    )
    let from: Buffer | undefined
    let steps = 0
    do {
      from = await index.sweep(from, 10, ({ partition, offset: at }) => partition === 0 && at < 20n)
      steps++
    } while (from !== undefined)
    assert.equal(steps, 6)
    assert.equal(disk.entries, 30)
    assert.equal((await index.lookUp('t19', 'c')).kind, 'unknown')
    assert.equal((await index.lookUp('t20', 'c')).kind, 'at')
    assert.equal((await index.lookUp('u0', 'c')).kind, 'at')
  })
})
