/** Every example runs here, against the real thing. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { createEdge, createLogger } from '../edge/index.js'
import { eventTime, repositoryFile, systemClock } from '../kernel/index.js'
import { shareMemory } from '../runners/memory/index.js'
import { replay } from '../runners/replay/index.js'
import { EmbeddedEngine } from '../runners/up/index.js'
import { TopologyDriver, verifyEvolution } from '../testing/index.js'
import { decide } from './client.js'
import { type Purchase, spending, spendingV1 } from './evolving-state.js'
import { spendingAlert } from './spending-alert.js'
// its tests run as part of these
import './topology.test.example.js'

const hour = 3_600_000
const start = Date.UTC(2024, 0, 1)

it('spending-alert tells whose spending jumps, and of nobody else', async () => {
  await using driver = await TopologyDriver.start(spendingAlert, { nowMs: start + 48 * hour })
  const payment = (customer: string, hours: number, cents: number) => ({ customer, cents, atMs: start + hours * hour })
  await driver.send('payments', [
    ...[0, 2, 4, 6].flatMap(at => [payment('anna', at, 1_000), payment('ben', at, 1_000)]),
    payment('anna', 8, 20_000),
    payment('ben', 8, 1_100),
  ])
  const alerts = (await driver.read('alerts')) as Record<string, unknown>[]
  assert.equal(alerts.length, 1)
  assert.deepEqual(alerts[0], {
    customer: 'anna',
    cents: 20_000,
    atMs: start + 8 * hour,
    count_1day: 5,
    sum_1hour: 20_000,
    mean_1day: 4_800,
  })
  // a crash forgets nothing: the day's history is folded again
  await driver.crash()
  await driver.send('payments', [payment('ben', 9, 30_000)])
  assert.deepEqual(
    ((await driver.read('alerts')) as { customer: string; count_1day: number }[]).map(alert => [
      alert.customer,
      alert.count_1day,
    ]),
    [
      ['anna', 5],
      ['ben', 6],
    ],
  )
})

it('evolving-state goes on from what its first version has kept', async () => {
  const bought = (customer: string, cents: number) => ({ value: { customer, cents }, at: eventTime(start) })
  const rows = await verifyEvolution({
    before: spendingV1,
    after: spending,
    keyOf: [(purchase: Purchase) => purchase.customer],
    itemsBefore: [bought('anna', 100), bought('ben', 5), bought('anna', 2 ** 30)],
    itemsAfter: [bought('anna', 2 ** 31), bought('ben', 1), bought('carl', 3)],
  })
  const values = rows.map(({ value }) => value)
  assert.deepEqual(values, [`${100 + 2 ** 30 + 2 ** 31} EUR`, '6 EUR', '3 EUR'])
})

/** Everything of `weir up` but its process: an engine in a new directory, and an edge on a free port. */
async function startWeir(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-examples-'))
  const cardKey = 'a key for tests'
  const engine = await EmbeddedEngine.open({
    app: 'fraud',
    dataDir: join(folder, 'data'),
    model: undefined,
    rules: undefined,
    features: undefined,
    cardKey,
    memory: shareMemory(512 << 20, { slots: 1, threads: 0 }),
    inFlightMax: 100,
    clock: systemClock,
    onEvent: () => {},
  })
  const logger = createLogger({ level: 'error' })
  const ports = { ...engine, explain: engine.explain, nowMs: () => systemClock.nowMs() }
  const edge = await createEdge({ ports, cardKey, port: 0, logger })
  after(async () => {
    await edge.close()
    await engine.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return (await edge.listen()).url
}

const payment = {
  transaction_id: 'example-1',
  event_time: '2024-01-01T10:00:00Z',
  customer_id: 'c-1',
  terminal_id: 't-1',
  amount_minor: 25_000,
  currency: 'EUR',
}

describe('against a running Weir', () => {
  const hasCurl = spawnSync('curl', ['--version']).status === 0
  const url = startWeir()

  it('client.ts sends a payment and gets its decision; what is wrong with one is told', async () => {
    const { outcome, score, decision_id } = await decide(await url, payment)
    assert.ok(['approve', 'review', 'decline'].includes(outcome))
    assert.ok(score !== undefined && score >= 0 && score <= 1)
    assert.equal((await decide(await url, payment)).decision_id, decision_id)
    await assert.rejects(decide(await url, { ...payment, amount_minor: -1 }), /^Error: 400 .*INVALID_AMOUNT/)
  })

  it('curl.sh gets one decision, the same one again, and finds it', { skip: hasCurl ? false : 'no curl' }, async () => {
    const script = repositoryFile('examples/curl.sh')
    const { stdout } = await promisify(execFile)('sh', [script, await url])
    const decisions = stdout.split('\n').filter(line => line.startsWith('{'))
    const [first, again, found] = decisions.map(line => JSON.parse(line) as Record<string, unknown>)
    assert.equal(decisions.length, 3)
    assert.equal((first!.features as Record<string, number>).customer_id_nb_tx_1day_window, 1)
    assert.deepEqual([again!.decision_id, again!.decided_at], [first!.decision_id, first!.decided_at])
    assert.equal(found!.decision_id, first!.decision_id)
    assert.match(String(found!.explanation), /^Transaction curl-/)
  })
})

it('client.ts asks again after a 202, where the answer says, until the decision is there', async () => {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    const { status, ...headers } =
      asked.length === 1
        ? { status: 202, location: '/v1/decisions/x?customer_id=c', 'retry-after': '0' }
        : { status: asked.length === 2 ? 404 : 200, 'content-type': 'application/json' }
    response.writeHead(status, headers).end(JSON.stringify({ outcome: 'review' }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  after(() => server.close())
  // a 404 has no Retry-After and means a second: one is enough to wait for
  const decision = await decide(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, payment)
  assert.equal(decision.outcome, 'review')
  const place = 'GET /v1/decisions/x?customer_id=c'
  assert.deepEqual(asked, ['POST /v1/decisions', place, place])
  server.closeAllConnections()
})

describe('custom-rules.json', () => {
  it('decides by its own lists and rules where replay is given it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weir-examples-'))
    after(() => rmSync(folder, { recursive: true, force: true }))
    const [input, output] = [join(folder, 'in.csv'), join(folder, 'out.ndjson')]
    const line = (n: number, customer: string, terminal: string, amount: number): string =>
      `${n},2024-01-0${n} 10:00:00,${customer},${terminal},${amount}`
    const usual = [1, 2, 3, 4].map(n => line(n, '3', '7', 10))
    const others = [line(5, '2', '13', 5), line(6, '2', '7', 160), line(7, '4', '7', 160), line(8, '3', '7', 12)]
    const header = 'transaction_id,tx_datetime,customer_id,terminal_id,tx_amount'
    writeFileSync(input, [header, ...usual, ...others, line(9, '3', '7', 400), ''].join('\n'))
    await replay(
      {
        input,
        output,
        format: 'handbook',
        currency: 'EUR',
        partitions: 1,
        model: 'none',
        rules: repositoryFile('examples/custom-rules.json'),
        features: undefined,
        fresh: false,
        cardKey: 'key',
        memory: shareMemory(512 << 20, { slots: 1, threads: 0 }),
        epochRecords: undefined,
      },
      { clock: systemClock, progress: { update: () => {}, finish: () => {} }, signal: never, warn: () => {} },
    )
    const decisions = readFileSync(output, 'utf8')
      .trimEnd()
      .split('\n')
      .map(text => JSON.parse(text) as Decided)
    const seen = decisions.slice(4).map(d => [d.outcome, d.outcome_source, d.rule_hits.map(hit => hit.rule_id).join()])
    assert.deepEqual(seen, [
      ['decline', 'list', ''],
      ['approve', 'default', ''],
      ['review', 'rule', 'new-customer-large'],
      ['approve', 'default', ''],
      ['decline', 'rule', 'far-above-usual'],
    ])
    assert.ok(decisions.every(d => d.config.ruleset_version === 'my-shop-1'))
  })
})

const never = new AbortController().signal

interface Decided {
  readonly outcome: string
  readonly outcome_source: string
  readonly rule_hits: readonly { readonly rule_id: string }[]
  readonly config: { readonly ruleset_version: string }
}

describe('README.md', () => {
  it('lists every example, and no other', () => {
    const listed = [...readFileSync(repositoryFile('examples/README.md'), 'utf8').matchAll(/^\| \[([^\]]+)\]/gm)]
    const files = readdirSync(repositoryFile('examples')).filter(name => !/^README\.md$|\.test\.ts$/.test(name))
    assert.deepEqual(listed.map(match => match[1]).sort(), files.sort())
  })
})
