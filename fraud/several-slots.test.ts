/**
 * Three slots decide as one does, and so do one, then three, then two: where every record is processed before the next is sent,
 * the order at the terminals is the same, and so each decision must be, to the byte, in its partition.
 */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { days, millis, positiveMurmur2 } from '../kernel/index.js'
import { labelJson, type RecordDecoder, transactionJson } from '../schemas/avro/index.js'
import { Cluster } from '../testing/cluster/index.js'
import { ManualClock } from '../testing/index.js'
import type { SourceFormat } from '../topology/index.js'
import { generate } from './generate/index.js'
import { defaultTopology } from './topology.js'

const partitions = 5
const startMs = Date.UTC(2024, 0, 1)

const format = <T>(name: string, decoder: RecordDecoder<T>): SourceFormat<T> => ({
  name,
  decode: (bytes, start, end) => decoder.decode(bytes, start, end),
})

interface Sent {
  readonly atMs: number
  readonly topic: 'transactions' | 'labels'
  readonly partition: number
  readonly value: object
}

/** Six weeks of few customers and terminals, labels a day or ten later, every ninth record in a wrong partition. */
function history(): Sent[] {
  const sent: Sent[] = []
  let n = 0
  for (const one of generate({ customers: 4, terminals: 6, days: 42, radius: 100, seed: 5 })) {
    const home = positiveMurmur2(Buffer.from(one.customerId)) % partitions
    const partition = ++n % 9 === 0 ? (home + 1) % partitions : home
    const { transactionId, customerId, terminalId, eventTime, amountMinor } = one
    const ids = {
      transaction_id: transactionId,
      customer_id: customerId,
      terminal_id: terminalId,
      event_time: eventTime,
    }
    const more = n % 5 === 0 ? { card_id: '4111111111111111', metadata: { channel: 'ünï', n: String(n) } } : {}
    const value = { ...ids, amount_minor: amountMinor, currency: 'EUR', ...more }
    sent.push({ atMs: eventTime, topic: 'transactions', partition, value })
    if (n % 13 === 0) sent.push({ atMs: eventTime, topic: 'transactions', partition, value })
    if (n % 3 > 0) continue
    const available_at = eventTime + days(n % 2 === 0 ? 1 : 10)
    const label = {
      ...ids,
      label: one.fraud || n % 6 === 0 ? 'fraud' : 'legitimate',
      label_source: 'chargeback',
      available_at,
    }
    sent.push({ atMs: available_at, topic: 'labels', partition, value: label })
  }
  return sent.sort((a, b) => a.atMs - b.atMs)
}

interface Decided {
  readonly byPartition: unknown[][]
  readonly rekeyed: number
}

/** @param later numbers of slots that the deployment is rescaled to, at equal times @param undrained records under way then */
async function decisions(slots: number, later: readonly number[] = [], undrained = 0): Promise<Decided> {
  const app = defaultTopology({
    transactions: format('transaction', transactionJson({ cardKey: 'key' })),
    labels: format('label', labelJson()),
    model: null,
  })
  const clock = new ManualClock(startMs)
  const cluster = await new Cluster(app, { slots, partitions }, clock).start()
  const sent = history()
  const stretch = Math.ceil(sent.length / (later.length + 1))
  for (const [i, { atMs, topic, partition, value }] of sent.entries()) {
    const plan = i / stretch
    if (i > 0 && Number.isInteger(plan)) await rescaled(cluster, later[plan - 1]!)
    clock.advance(millis(Math.max(0, atMs - clock.nowMs())))
    await cluster.send(topic, partition, [value])
    if (i % stretch < stretch - undrained) await cluster.drain()
    else await cluster.slots[0]!.step()
  }
  await cluster.drain()
  const byPartition: unknown[][] = []
  for (let partition = 0; partition < partitions; partition++) {
    byPartition.push(await cluster.read('decisions', partition))
  }
  assert.deepEqual(await cluster.deadLetters(), [])
  const rekeyed = cluster.slots.reduce((sum, slot) => sum + (slot.counts.get('rekeyed') ?? 0), 0)
  await cluster.close()
  return { byPartition, rekeyed }
}

/** The slots of before are told nothing, and write nothing any more. */
async function rescaled(cluster: Cluster, slots: number): Promise<void> {
  const zombies = await cluster.rescale(slots)
  assert.equal(cluster.slots.length, slots)
  const before = await cluster.read('decisions', 0)
  for (const zombie of zombies)
    await assert.rejects(
      zombie.step().then(() => zombie.mark(null)),
      isOver,
    )
  assert.deepEqual(await cluster.read('decisions', 0), before)
}

const undated = ({ byPartition }: Decided): unknown[][] =>
  byPartition.map(partition => partition.map(decision => ({ ...(decision as object), decided_at: null })))

const isOver = (error: Error & { code?: string }): boolean => ['SLOT_FENCED', 'PLAN_CLOSED'].includes(error.code ?? '')

it('rescaled from one slot to three, and on to two, decides as if it never had been', async () => {
  const [straight, rescaled] = [await decisions(1), await decisions(1, [3, 2, 1])]
  assert.ok(rescaled.rekeyed > 5)
  assert.deepEqual(rescaled.byPartition, straight.byPartition)
  // with rows under way between the slots when it begins: some are decided later, and not otherwise
  assert.deepEqual(undated(await decisions(3, [2, 3], 1)), undated(straight))
})

it('three slots decide as one does, records in wrong partitions and labels included', async () => {
  const [one, three] = [await decisions(1), await decisions(3)]
  assert.equal(one.rekeyed, 0)
  assert.ok(three.rekeyed > 10, `${three.rekeyed} records were in a wrong partition`)
  const all = one.byPartition.flat() as { features: Record<string, number> }[]
  assert.ok(all.length > 200 && all.some(({ features }) => (features.terminal_id_risk_30day_window ?? 0) > 0))
  assert.deepEqual(three.byPartition, one.byPartition)
})
