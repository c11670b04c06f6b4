/**
 * The contract's rules for Handbook files, one small file each: what becomes a decision, a duplicate, a dead letter, and
 * that nothing else happens to a line.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type DecisionLine, defaultMemory, type Result, replayContent } from './testing/run.js'

const header = 'transaction_id,tx_datetime,customer_id,terminal_id,tx_amount,tx_fraud'

const csv = (...lines: string[]): string => [header, ...lines, ''].join('\n')
const ndjson = (...lines: string[]): Promise<Result> => replayContent([...lines, ''].join('\n'), { name: 'in.ndjson' })

function assertCounts(result: Result, lines: number): void {
  const { summary, decisions, deadLetters } = result
  assert.equal(summary.lines, lines)
  assert.equal(summary.decisions, decisions.length)
  assert.equal(summary.dead_letters, deadLetters.length)
  assert.equal(
    summary.lines,
    summary.blank_lines + summary.decisions + summary.duplicates + summary.dead_letters,
    'every line ends as exactly one thing',
  )
}

const idsOf = (result: Result): string[] => result.decisions.map(decision => decision.transaction_id)

/** How often the customer was seen in thirty days, by transaction. */
const counts = (decisions: readonly DecisionLine[]): (number | undefined)[] =>
  decisions.map(decision => decision.features.customer_id_nb_tx_30day_window)

describe('repeated ids', () => {
  const a = 'A,2024-01-01T10:00:00Z,c1,t1,10.00,0'
  const b = 'B,2024-01-01T11:00:00Z,c1,t1,20.00,0'

  it('A,A and A,B,A make one decision and change no feature', async () => {
    const result = await replayContent(csv(a, a, b, a, b))
    assertCounts(result, 5)
    assert.deepEqual(idsOf(result), ['A', 'B'])
    assert.deepEqual(counts(result.decisions), [1, 2])
    assert.equal(result.summary.duplicates, 3)
    assert.equal(result.summary.conflicts, 0)
    assert.deepEqual(
      result.decisions.map(decision => decision.source.offset),
      [0, 2],
    )
  })

  it('another amount or terminal is a conflict among the duplicates; another time or label is not', async () => {
    const result = await replayContent(
      csv(
        a,
        'A,2024-01-01T10:00:00Z,c1,t1,10.01,0',
        'A,2024-01-01T10:00:00Z,c1,t2,10.00,0',
        'A,2024-01-01T10:00:05Z,c1,t1,10.00,0',
        'A,2024-01-01T10:00:00Z,c1,t1,10.00,1',
        'A,2024-01-01T10:00:00Z,c1,t1,10,',
      ),
    )
    assertCounts(result, 6)
    assert.deepEqual([result.summary.duplicates, result.summary.conflicts], [5, 2])
    assert.deepEqual(idsOf(result), ['A'])
  })

  it('of another customer is another transaction, with another decision_id', async () => {
    const result = await replayContent(csv(a, a.replace('c1', 'c2')))
    assertCounts(result, 2)
    assert.equal(result.summary.duplicates, 0)
    assert.equal(new Set(result.decisions.map(decision => decision.decision_id)).size, 2)
  })

  it('are remembered for 67 days of the customer, to the second', async () => {
    const first = 'A,2024-01-01T00:00:00Z,c1,t1,10.00,0'
    const within = 'A,2024-03-08T00:00:00Z,c1,t1,10.00,0'
    const beyond = 'A,2024-03-08T00:00:01Z,c1,t1,10.00,0'
    assert.deepEqual(idsOf(await replayContent(csv(first, within))), ['A'])
    assert.deepEqual(idsOf(await replayContent(csv(first, beyond))), ['A', 'A'])
    const others = 'B,2090-01-01T00:00:00Z,c2,t1,10.00,0'
    assert.deepEqual(idsOf(await replayContent(csv(first, others, within))), ['A', 'B'])
  })

  it('a malformed line claims no id', async () => {
    const result = await replayContent(csv(a.replace('10.00', '10.001'), a.replace('t1', ''), a, a))
    assertCounts(result, 4)
    assert.deepEqual(idsOf(result), ['A'])
    assert.equal(result.decisions[0]?.source.offset, 2)
    assert.equal(result.summary.duplicates, 1)
  })
})

describe('disorder', () => {
  it('late is more than ten minutes behind the customer, and a late one counts where it belongs', async () => {
    const result = await replayContent(
      csv(
        '1,2024-01-02T12:00:00Z,c1,t1,10.00,0',
        '2,2024-01-02T11:50:00Z,c1,t1,20.00,0',
        '3,2024-01-02T11:49:59Z,c1,t1,30.00,0',
        '4,2024-01-02T11:00:00Z,c2,t1,40.00,0',
        '5,2024-01-02T12:00:00Z,c1,t1,50.00,0',
      ),
    )
    assertCounts(result, 5)
    assert.deepEqual(
      result.decisions.map(decision => decision.late),
      [false, false, true, false, false],
    )
    assert.deepEqual(counts(result.decisions), [1, 1, 1, 1, 4])
    assert.equal(result.decisions[4]?.features.customer_id_avg_amount_1day_window, 27.5)
  })

  it('more than thirty days behind: decided, degraded, and no part of the history', async () => {
    const result = await replayContent(
      csv(
        '1,2024-03-01T00:00:00Z,c1,t1,10.00,0',
        '2,2024-01-31T00:00:00Z,c1,t2,10.00,0',
        '3,2024-01-30T23:59:59Z,c1,t2,10.00,0',
        '4,2024-02-01T00:00:00Z,c1,t2,10.00,0',
      ),
    )
    assert.deepEqual(
      result.decisions.map(decision => decision.degraded),
      [undefined, undefined, 'history_incomplete', undefined],
    )
    assert.ok(!('customer_id_nb_tx_30day_window' in result.decisions[2]!.features))
    assert.equal(result.decisions[3]?.features.customer_id_nb_tx_30day_window, 2)
  })

  it('a time of 2099 spoils neither the state of others nor what its own customer does next', async () => {
    const result = await replayContent(
      csv(
        '1,2024-01-01T00:00:00Z,c1,t1,10.00,1',
        'X,2099-12-31T23:59:59Z,evil,t9,10.00,0',
        '2,2024-01-20T00:00:00Z,c1,t1,10.00,0',
        '3,2024-01-20T00:00:00Z,evil,t1,10.00,0',
      ),
    )
    assertCounts(result, 4)
    assert.equal(result.decisions[2]?.features.customer_id_nb_tx_30day_window, 2)
    assert.equal(result.decisions[2]?.features.terminal_id_risk_30day_window, 1)
    assert.equal(result.decisions[3]?.degraded, 'history_incomplete')
    assert.equal(result.decisions[3]?.late, true)
  })

  it('a label counts from exactly seven days later, and repeated or malformed lines carry none', async () => {
    const result = await replayContent(
      csv(
        '1,2024-01-01T00:00:00Z,c1,t1,10.00,0',
        '1,2024-01-01T00:00:00Z,c1,t1,10.00,1',
        '2,2024-01-01T00:00:00Z,c2,t1,10.00,1',
        '3,2024-01-07T23:59:59Z,c3,t1,10.00,',
        '4,2024-01-08T00:00:00Z,c3,t1,10.00,0',
      ),
    )
    const shares = result.decisions.map(decision => decision.features.terminal_id_risk_1day_window)
    assert.deepEqual(shares, [0, 0, 0, 0.5])
  })
})

describe('the form of a file', () => {
  const a = '1,2024-01-01T00:00:00Z,c1,t1,10.00,0'

  it('names of columns in any case and order, extra columns, quotes, CRLF, a byte order mark, no final newline', async () => {
    const lines = [
      '\ufeffTX_AMOUNT,Transaction_Id,note,TX_DATETIME,"customer_ID",TERMINAL_ID',
      '10.5,1,"a ""note"", with commas",2024-01-01 00:00:00,"c,1",t1',
      '7,2,,2024-01-01T00:00:01,"c""1",t1',
      '7,3,,2024-01-01 00:00:02Z,c1,t1',
    ]
    const result = await replayContent(lines.join('\r\n'))
    assertCounts(result, 3)
    assert.deepEqual(
      result.decisions.map(decision => [decision.customer_id, decision.event_time, decision.features.tx_amount]),
      [
        ['c,1', '2024-01-01T00:00:00.000Z', 10.5],
        ['c"1', '2024-01-01T00:00:01.000Z', 7],
        ['c1', '2024-01-01T00:00:02.000Z', 7],
      ],
    )
  })

  it('blank lines are counted and nothing else; line numbers are physical, source counts data lines', async () => {
    const result = await replayContent(csv('', '  \t', a, '', 'broken', '', a.replace('1,', '2,')))
    assertCounts(result, 7)
    assert.equal(result.summary.blank_lines, 4)
    assert.deepEqual(
      result.decisions.map(decision => decision.source),
      [2, 6].map(offset => ({ topic: 'transactions', partition: 0, offset })),
    )
    assert.equal(result.deadLetters[0]?.line, 6)
  })

  it('the currency of the flag is that of every amount', async () => {
    const result = await replayContent(csv(a.replace('10.00', '1000'), a.replace('10.00', '1000.5')), {
      currency: 'JPY',
    })
    assert.equal(result.decisions[0]?.features.tx_amount, 1_000)
    assert.equal(result.deadLetters[0]?.code, 'INVALID_AMOUNT')
  })

  it('JSON: numbers as ids keep their text beyond 2^53, names in any case, __proto__ and others are ignored', async () => {
    const result = await ndjson(
      '{"TRANSACTION_ID":9007199254740993,"tx_datetime":"2024-01-01T00:00:00Z","customer_id":0,"terminal_id":"7","tx_amount":1.5,"tx_fraud":1}',
      '{"transaction_id":9007199254740992,"tx_datetime":"2024-01-01T00:00:00Z","customer_id":"0","terminal_id":7,"tx_amount":"1.50","tx_fraud":"","__proto__":{"customer_id":"x"},"constructor":[1,{"a":null}]}',
    )
    assertCounts(result, 2)
    assert.deepEqual(idsOf(result), ['9007199254740993', '9007199254740992'])
    assert.deepEqual(counts(result.decisions), [1, 2])
  })

  it('ids that are names of properties, and ids of any script, are ids like others', async () => {
    const ids = ['__proto__', 'constructor', 'toString', 'ü', '客户', '😀'.repeat(64), '\u2028', ' ']
    const result = await replayContent(csv(...ids.map(id => a.replace('1,', `${id},`).replace('c1', id))))
    assertCounts(result, ids.length)
    assert.deepEqual(idsOf(result), ids)
    assert.deepEqual(
      counts(result.decisions),
      ids.map(() => 1),
    )
  })
})

describe('two replays', () => {
  it('give identical bytes, whatever the length of epochs, the partitions and the size of the cache', async () => {
    const lines: string[] = []
    for (let i = 0; i < 2_000; i++) {
      const minute = String(i % 60).padStart(2, '0')
      const day = String(1 + (Math.floor(i / 90) % 28)).padStart(2, '0')
      lines.push(
        `${i % 1_900},2024-01-${day}T0${i % 10}:${minute}:00Z,c${i % 37},t${i % 11},${i % 100}.25,${i % 7 === 0 ? 1 : 0}`,
      )
    }
    const content = csv(...lines)
    const first = await replayContent(content, { model: undefined })
    for (const options of [
      {},
      { epochRecords: 1_999 },
      { epochRecords: 7, memory: { ...defaultMemory, cacheBytesMax: 1 << 20, dirtyBytesMax: 1 << 19 } },
      { partitions: 3, epochRecords: 100 },
    ]) {
      const again = await replayContent(content, { model: undefined, ...options })
      assert.ok(first.bytes.equals(again.bytes), JSON.stringify(options))
      assert.deepEqual(again.summary, first.summary)
    }
  })
})
