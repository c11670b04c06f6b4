import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { millis, systemClock, WeirError } from '../../kernel/index.js'
import { type AppendRecord, offset, type RecordBatch } from '../../log/index.js'
import type { Row } from '../../operators/index.js'
import type { CommittedEpoch, SinkWriter } from '../slot/index.js'
import { decodeReply, encodeReply, encodeReplyTo, type Outcome, parseReplyTo, ReplySender } from './index.js'

const source = (at: number) => ({ topic: 'transactions', partition: 1, offset: at })

function batchOf({ value, headers = [] }: AppendRecord): RecordBatch {
  const bytes = Buffer.from(value ?? '')
  return {
    topic: 'decisions.replies',
    partition: 0,
    count: 1,
    baseOffset: offset(0),
    nextOffset: offset(1),
    offsetDelta: Int32Array.of(0),
    bytes,
    keyStart: Int32Array.of(-1),
    keyEnd: Int32Array.of(-1),
    valueStart: Int32Array.of(value === null ? -1 : 0),
    valueEnd: Int32Array.of(value === null ? -1 : bytes.length),
    headersOf: () => headers,
  }
}

const writer = (topic: string, rows: readonly { at: number; value: unknown; bytes: string }[]): SinkWriter =>
  ({
    sink: { topic },
    forEach: (visit: (row: Row, value: Buffer, partition: number) => void) => {
      for (const { at, value, bytes } of rows) visit({ source: source(at), value } as Row, Buffer.from(bytes), 0)
    },
  }) as unknown as SinkWriter

function epoch(parts: Partial<CommittedEpoch>): CommittedEpoch {
  return { record: {} as CommittedEpoch['record'], writers: [], deadLetters: [], replyTo: new Map(), ...parts }
}

function sender(append: (partition: number, records: readonly AppendRecord[]) => Promise<void>): ReplySender {
  return new ReplySender({
    producer: {
      append: async ([one]) => {
        await append(one!.partition, one!.records as readonly AppendRecord[])
        return [offset(0)]
      },
      sync: async () => {},
    },
    clock: systemClock,
    partitions: 4,
    repeatsTopic: 'repeats',
  })
}

describe('replies', () => {
  it('come back as they were sent', () => {
    const outcomes: Outcome[] = [
      { kind: 'decided', value: Buffer.from('{"a":1}') },
      { kind: 'repeated' },
      { kind: 'conflict' },
      { kind: 'rejected', code: 'INVALID_AMOUNT', message: 'amount – too much' },
    ]
    for (const outcome of outcomes) {
      const record = encodeReply({ id: 'e-1', outcome })
      assert.deepEqual(decodeReply(batchOf(record), 0), { id: 'e-1', outcome })
    }
  })

  it('of others are none', () => {
    const record = encodeReply({ id: 'e-1', outcome: { kind: 'repeated' } })
    const { headersOf: _, ...bare } = batchOf(record)
    assert.equal(decodeReply(bare, 0), undefined)
    assert.equal(decodeReply(batchOf({ ...record, headers: record.headers!.slice(0, 1) }), 0), undefined)
    const decided = encodeReply({ id: 'e-1', outcome: { kind: 'decided', value: Buffer.from('{}') } })
    assert.equal(decodeReply(batchOf({ ...decided, value: null }), 0), undefined)
  })

  it('have addresses that come back, and refuse what is none', () => {
    const address = { partition: 3, id: 'a-b_C9' }
    assert.deepEqual(parseReplyTo(encodeReplyTo(address).toString()), address)
    for (const text of ['', '3', '3/', '/x', '-1/x', '3/a b', `3/${'x'.repeat(65)}`, '99999/x', '3/x\n']) {
      assert.equal(parseReplyTo(text), undefined, JSON.stringify(text))
    }
  })

  it('go to the partition that asked, one for each kind of end', async () => {
    const sent: [number, unknown][] = []
    const replies = sender(async (partition, records) => {
      for (const record of records) sent.push([partition, decodeReply(batchOf(record), 0)])
    })
    replies.onCommitted(
      epoch({
        replyTo: new Map([
          ['transactions/1/5', '0/five'],
          ['transactions/1/6', '2/six'],
          ['transactions/1/7', '2/seven'],
          ['transactions/1/8', '2/eight'],
          ['transactions/1/9', '9/no such partition'],
        ]),
        writers: [
          writer('decisions', [
            { at: 4, value: null, bytes: 'nobody asked' },
            { at: 5, value: null, bytes: '{"n":5}' },
          ]),
          writer('repeats', [
            { at: 6, value: { conflicting: false }, bytes: '' },
            { at: 7, value: { conflicting: true }, bytes: '' },
          ]),
          writer('others', [{ at: 8, value: null, bytes: 'x' }]),
        ],
        deadLetters: [{ source: source(8), code: 'INVALID_ID', message: 'why', key: null, value: null }],
      }),
    )
    await replies.close(millis(1_000))
    const byId = new Map(sent.map(([partition, reply]) => [(reply as { id: string }).id, [partition, reply]]))
    assert.deepEqual(Object.fromEntries(byId), {
      five: [0, { id: 'five', outcome: { kind: 'decided', value: Buffer.from('{"n":5}') } }],
      six: [2, { id: 'six', outcome: { kind: 'repeated' } }],
      seven: [2, { id: 'seven', outcome: { kind: 'conflict' } }],
      eight: [2, { id: 'eight', outcome: { kind: 'rejected', code: 'INVALID_ID', message: 'why' } }],
    })
    assert.equal(replies.lost, 0)
  })

  it('wait for a decision that comes some epochs later', async () => {
    const sent: number[] = []
    const replies = sender(async (_, records) => void sent.push(records.length))
    replies.onCommitted(epoch({ replyTo: new Map([['transactions/1/5', '0/five']]) }))
    assert.deepEqual(sent, [])
    const decided = epoch({ writers: [writer('decisions', [{ at: 5, value: null, bytes: '{}' }])] })
    replies.onCommitted(decided)
    replies.onCommitted(decided)
    await replies.close(millis(1_000))
    assert.deepEqual(sent, [1])
  })

  it('that cannot be sent are counted, and hold nothing up', async () => {
    const replies = sender(() => Promise.reject(new WeirError('KAFKA_UNAVAILABLE', 'nobody there')))
    replies.onCommitted(
      epoch({
        replyTo: new Map([['transactions/1/5', '0/five']]),
        writers: [writer('decisions', [{ at: 5, value: null, bytes: '{}' }])],
      }),
    )
    await replies.close(millis(1_000))
    assert.equal(replies.lost, 1)
    assert.match(replies.whyLost, /nobody there/)
  })
})
