/** Two workers on a real Kafka, of which one follows the other's slot: who dies, stands still or stops, and who goes on. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Deployment, readinessOf, settled, until } from '../../testing/deployment/index.js'
import { type KafkaForTests, kafkaMissing, startKafka } from '../../testing/services/index.js'
import type { LaunchedWeir, WeirProcess } from '../../testing/weir-process/index.js'
import type { EpochRecord } from '../slot/index.js'

const skip = (await kafkaMissing()) ?? false

const is = (wanted: string) => (found: Awaited<ReturnType<typeof readinessOf>>) =>
  found.ready && found.slots.some(({ state }) => state === wanted)
const runs = is('running')
const follows = is('following')

describe('standbys', { skip }, () => {
  let kafka: KafkaForTests
  const made: Deployment[] = []
  before(async () => {
    kafka = await startKafka({ shared: true })
  })
  after(async () => {
    for (const deployment of made) await deployment.close()
    await kafka.stop()
  })

  /** Its first worker runs the slot, the second follows it. */
  async function pair(name: string): Promise<[Deployment, WeirProcess, WeirProcess]> {
    const deployment = await Deployment.create({ brokers: kafka.brokers, name, env: { WEIR_STANDBYS: '1' } })
    made.push(deployment)
    const owner = await deployment.worker()
    const other = await deployment.worker()
    await until(owner, runs)
    await until(other, follows)
    return [deployment, owner, other]
  }

  const send = async (deployment: Deployment, ids: readonly string[]): Promise<void> => {
    for (const transaction_id of ids) {
      const more = { customer_id: 'c', terminal_id: 't', amount_minor: 100, currency: 'EUR', event_time: Date.now() }
      await deployment.send('transactions', 0, 'c', JSON.stringify({ transaction_id, ...more }))
    }
  }
  /** Ids in order, each with the number of the customer's transactions that its features count. */
  const decided = async (deployment: Deployment, count: number): Promise<readonly string[]> =>
    (await deployment.readAtLeast('decisions', count)).map(({ value }) => {
      const { transaction_id, features } = JSON.parse(value!.toString())
      return `${transaction_id}=${features.customer_id_nb_tx_1day_window}`
    })
  const generations = async (deployment: Deployment): Promise<readonly number[]> => {
    const records = (await deployment.read('weir.fraud.epochs')).map(({ value }) => JSON.parse(value!.toString()))
    return (records as EpochRecord[]).flatMap(({ kind, generation }) => (kind === 'epoch' ? [generation] : []))
  }
  const takeover = async (to: LaunchedWeir): Promise<void> => void (await until(to, runs))

  it('goes on when its owner is killed, and tells what it does', async () => {
    const [deployment, owner, other] = await pair('killed')
    await send(deployment, ['1', '2'])
    await decided(deployment, 2)
    const { slots } = await until(other, ({ slots }) => (slots[0]?.epoch ?? 0) > 0)
    assert.deepEqual(slots[0]!.inputs, [])
    assert.equal(slots[0]!.behind?.epochs, 0)
    const metrics = await (await fetch(`${other.url}/metrics`)).text()
    assert.match(metrics, /^weir_standby_behind_epochs\{slot="0"\} 0$/m)
    assert.doesNotMatch(metrics, /^weir_slot_epoch\{/m)
    const asked = await fetch(`${other.url}/v1/admin/state/customer/c`)
    assert.match(await asked.text(), /"code":"SLOT_ELSEWHERE"/)
    await owner.kill()
    await send(deployment, ['3'])
    await takeover(other)
    assert.deepEqual(await decided(deployment, 3), ['1=1', '2=2', '3=3'])
    const again = await deployment.worker()
    await until(again, follows)
    await until(other, runs)
    assert.equal(await other.stop(), 0, other.stderr())
    await takeover(again)
    await send(deployment, ['4'])
    assert.deepEqual(await decided(deployment, 4), ['1=1', '2=2', '3=3', '4=4'])
    assert.deepEqual([...new Set(await generations(deployment))], [1, 2, 3])
    assert.equal(await again.stop(), 0, again.stderr())
  })

  it('is followed by an owner that only stood still: nobody fences back', async () => {
    const [deployment, owner, other] = await pair('still')
    await send(deployment, ['1'])
    await decided(deployment, 1)
    owner.signal('SIGSTOP')
    await send(deployment, ['2'])
    await takeover(other)
    await decided(deployment, 2)
    // Within the session time-out: in the group's eyes it owns the slot all the time.
    owner.signal('SIGCONT')
    await until(owner, follows)
    await send(deployment, ['3'])
    await settled(other)
    assert.ok(runs(await readinessOf(other)))
    assert.ok(follows(await readinessOf(owner)))
    assert.deepEqual(await decided(deployment, 3), ['1=1', '2=2', '3=3'])
    assert.deepEqual([...new Set(await generations(deployment))], [1, 2])
    await other.kill()
    await takeover(owner)
    await send(deployment, ['4'])
    assert.deepEqual((await decided(deployment, 4)).at(-1), '4=4')
    assert.equal(await owner.stop(), 0, owner.stderr())
  })
})
