import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { isWeirError } from '../../kernel/index.js'
import { type ProduceJob, type ProduceOutcome, produce, WeirClient } from './index.js'
import { type FakeWeir, fakeWeir, problem, type Received } from './testing/fake-weir.js'

const folder = mkdtempSync(join(tmpdir(), 'weir-produce-'))
after(() => rmSync(folder, { recursive: true, force: true }))
let files = 0

interface Ran extends ProduceOutcome {
  readonly reports: readonly string[]
}

async function run(
  fake: Pick<FakeWeir, 'url'>,
  content: string | Buffer,
  options: Partial<ProduceJob> & { readonly name?: string; readonly signal?: AbortSignal } = {},
): Promise<Ran> {
  const { name = 'in.csv', signal = new AbortController().signal, ...job } = options
  const input = join(folder, `${++files}-${name}`)
  writeFileSync(input, content)
  const reports: string[] = []
  const concurrency = job.concurrency ?? 4
  const client = new WeirClient({ url: fake.url, connectionsMax: concurrency })
  try {
    const outcome = await produce(
      { input, format: 'handbook', currency: 'EUR', cardKey: 'key', perSecond: undefined, ...job, concurrency },
      { client, signal, report: line => reports.push(line), progress: () => {}, nowMs: () => performance.now() },
    )
    return { ...outcome, reports }
  } finally {
    client.close()
  }
}

const header = 'transaction_id,tx_datetime,customer_id,terminal_id,tx_amount,tx_fraud'
const csv = (...lines: string[]): string => [header, ...lines, ''].join('\n')
const payment = (id: string, customer = 'c1', fraud = ''): string =>
  `${id},2024-01-01 10:00:00,${customer},t1,10.50,${fraud}`
const isTransaction = ({ path }: Received): boolean => path.startsWith('/v1/decisions')
const isLabel = ({ path }: Received): boolean => path === '/v1/labels'

const json = (id: string, more: Record<string, unknown> = {}): string =>
  JSON.stringify({
    transaction_id: id,
    event_time: '2024-01-01T10:00:00Z',
    customer_id: 'c1',
    terminal_id: 't1',
    amount_minor: 1050,
    currency: 'EUR',
    ...more,
  })

function assertAddsUp({ summary: s }: Ran): void {
  assert.equal(s.lines, s.blank_lines + s.malformed + s.sent)
  assert.equal(s.sent, s.decided + s.pending + s.repeated + s.conflicts + s.rejected + s.failed)
}

describe('what is sent', () => {
  it("a Handbook file as Weir's transactions, its labels after them, available a week later", async () => {
    const fake = await fakeWeir()
    const ran = await run(fake, csv(payment('1', 'c1', '1'), payment('2', 'c2', '0'), payment('3')), { concurrency: 1 })
    assertAddsUp(ran)
    assert.deepEqual([ran.summary.decided, ran.summary.labels, ran.reports.length], [3, 2, 0])
    assert.deepEqual(fake.received[0]?.body, {
      transaction_id: '1',
      event_time: Date.UTC(2024, 0, 1, 10),
      customer_id: 'c1',
      terminal_id: 't1',
      amount_minor: 1050,
      currency: 'EUR',
    })
    assert.deepEqual(fake.received[1]?.body, {
      transaction_id: '1',
      customer_id: 'c1',
      terminal_id: 't1',
      event_time: Date.UTC(2024, 0, 1, 10),
      label: 'fraud',
      label_source: 'chargeback',
      available_at: Date.UTC(2024, 0, 8, 10),
    })
    assert.deepEqual(
      fake.received.map(received => [isLabel(received), received.body.transaction_id, received.body.label]),
      [
        [false, '1', undefined],
        [true, '1', 'fraud'],
        [false, '2', undefined],
        [true, '2', 'legitimate'],
        [false, '3', undefined],
      ],
    )
  })

  it("Weir's own lines of JSON as they are, cards and unknown fields included; gzip is read", async () => {
    const fake = await fakeWeir()
    const sent = json('1', { card_id: '4111111111111111', unknown: [1] })
    const options = { name: 'in.ndjson.gz', format: 'transactions' } as const
    const ran = await run(fake, gzipSync(`${sent}\n\n${json('2')}`), options)
    assertAddsUp(ran)
    assert.deepEqual([ran.summary.decided, ran.summary.blank_lines], [2, 1])
    assert.deepEqual(fake.received[0]?.body, JSON.parse(sent))
  })

  it('names malformed lines by their number in the file, and sends the others', async () => {
    const fake = await fakeWeir()
    const ran = await run(fake, csv(payment('1'), 'x', '', payment('2').replace('10.50', '-1'), payment('3')))
    assertAddsUp(ran)
    assert.deepEqual([ran.summary.malformed, ran.summary.blank_lines, ran.summary.decided], [2, 1, 2])
    assert.match(ran.reports[0] ?? '', /^line 3: MALFORMED_RECORD: /)
    assert.match(ran.reports[1] ?? '', /^line 5: INVALID_AMOUNT: /)
  })
})

describe('the order', () => {
  it('of each customer is that of the file, whatever is under way beside it', async () => {
    const fake = await fakeWeir()
    let turn = 0
    // answers come back out of order across customers
    fake.onPost = async () => {
      const wait = (turn++ * 7) % 5
      await new Promise(resolve => setTimeout(resolve, wait))
      return undefined
    }
    const customers = ['a', 'b', 'c', 'd', 'e']
    const lines = Array.from({ length: 200 }, (_, i) => payment(String(i), customers[(i * i) % 5]))
    const ran = await run(fake, csv(...lines), { concurrency: 8 })
    assert.equal(ran.summary.decided, 200)
    for (const customer of customers) {
      const ids = fake.received
        .filter(({ body }) => body.customer_id === customer)
        .map(({ body }) => Number(body.transaction_id))
      assert.deepEqual(
        ids,
        [...ids].sort((x, y) => x - y),
      )
    }
    const most = Math.max(...fake.received.map(received => received.underWay))
    assert.ok(most > 1 && most <= 8, `${most} under way`)
  })
})

describe('what Weir answers', () => {
  it('is counted, named by line where it is no decision, and labels follow first answers only', async () => {
    const fake = await fakeWeir()
    fake.onPost = received => {
      if (isLabel(received)) return undefined
      switch (received.body.transaction_id) {
        case 'pending':
          return { status: 202, headers: { location: '/v1/decisions/pending' }, body: { status: 'pending' } }
        case 'repeated':
          return { status: 200, headers: { 'weir-repeated': 'true' }, body: {} }
        case 'conflict':
          return problem(422, 'IDEMPOTENCY_MISMATCH')
        case 'rejected':
          return problem(400, 'INVALID_EVENT_TIME')
        case 'failed':
          return problem(500, 'INTERNAL_ERROR')
        default:
          return undefined
      }
    }
    const ids = ['decided', 'pending', 'repeated', 'conflict', 'rejected', 'failed']
    const ran = await run(fake, csv(...ids.map(id => payment(id, 'c1', '0'))))
    assertAddsUp(ran)
    const { decided, pending, repeated, conflicts, rejected, failed, labels } = ran.summary
    assert.deepEqual([decided, pending, repeated, conflicts, rejected, failed, labels], [1, 1, 1, 1, 1, 1, 2])
    assert.deepEqual(
      ran.reports.map(line => line.split(':', 2).join(':')),
      ['line 5: IDEMPOTENCY_MISMATCH', 'line 6: INVALID_EVENT_TIME', 'line 7: INTERNAL_ERROR'],
    )
    assert.equal(ran.stopped, undefined)
  })

  it('429 and 503 are waited out', async () => {
    const fake = await fakeWeir()
    const refusals = [problem(429, 'QUEUE_FULL', { 'retry-after': '0' }), problem(503, 'NOT_READY')]
    fake.onPost = received => (isTransaction(received) ? refusals.shift() : undefined)
    const ran = await run(fake, csv(payment('1', 'c1', '1')))
    assert.deepEqual([ran.summary.decided, ran.summary.labels, ran.summary.failed], [1, 1, 0])
    assert.equal(fake.received.filter(isTransaction).length, 3)
  })

  it('a broken connection is tried again, and the repeat of our own try is no repeat', async () => {
    const fake = await fakeWeir()
    let cut = false
    fake.onPost = received => {
      if (received.body.transaction_id !== '2') return undefined
      if (cut) return { status: 200, headers: { 'weir-repeated': 'true' }, body: {} }
      cut = true
      return { status: 0, cut: true }
    }
    const ran = await run(fake, csv(payment('1'), payment('2')), { concurrency: 1 })
    assert.deepEqual([ran.summary.decided, ran.summary.repeated, ran.summary.failed], [2, 0, 0])
  })

  it('a server that is not there, or does not let us in, ends it at once', async () => {
    const gone = await fakeWeir()
    await gone.close()
    const nobody = await run(gone, csv(payment('1'), payment('2', 'c2')))
    assert.ok(isWeirError(nobody.stopped, 'UNREACHABLE'))
    assert.equal(nobody.summary.decided, 0)
    assert.equal(nobody.summary.sent, nobody.summary.failed)

    const closed = await fakeWeir()
    closed.onPost = () => problem(401, 'UNAUTHENTICATED')
    const refused = await run(closed, csv(payment('1')))
    assert.ok(isWeirError(refused.stopped, 'UNAUTHENTICATED'))

    const other = await fakeWeir()
    other.onPost = () => ({ status: 404, body: 'not found' })
    assert.ok(isWeirError((await run(other, csv(payment('1')))).stopped, 'UNREACHABLE'))
  })

  it('an abort ends it after what is under way', async () => {
    const fake = await fakeWeir()
    const controller = new AbortController()
    fake.onPost = () => {
      controller.abort()
      return undefined
    }
    const lines = Array.from({ length: 50 }, (_, i) => payment(String(i)))
    const ran = await run(fake, csv(...lines), { concurrency: 1, signal: controller.signal })
    assert.ok(isWeirError(ran.stopped, 'INTERRUPTED'))
    assert.deepEqual([ran.summary.sent, ran.summary.decided], [1, 1])
  })
})

describe('before anything is sent', () => {
  it('a file without the columns, or of no known kind, is refused', async () => {
    const fake = await fakeWeir()
    for (const [name, content] of [
      ['in.csv', 'a,b\n1,2\n'],
      ['in.csv', ''],
      ['in.parquet', 'x'],
    ] as const) {
      await assert.rejects(run(fake, content, { name }), error => isWeirError(error, 'INPUT_UNREADABLE'))
    }
    assert.equal(fake.received.length, 0)
  })
})
