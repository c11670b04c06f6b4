/** kafkajs as it is used here, against a real broker. */
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { kafkaMissing, startKafka } from '../../testing/services/index.js'
import { Kafka, logLevel } from './kafkajs.js'

const skip = (await kafkaMissing()) ?? false

interface Looks {
  checkPendingRequests(): void
}

it('a connection of kafkajs that nobody uses does nothing', { skip }, async t => {
  const load = createRequire(import.meta.url)
  const { prototype: queue } = load('kafkajs/src/network/requestQueue') as { readonly prototype: Looks }
  const looks = t.mock.method(queue, 'checkPendingRequests')
  const kafka = await startKafka({ shared: true })
  const admin = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).admin()
  t.after(async () => {
    await admin.disconnect()
    await kafka.stop()
  })
  await admin.connect()
  const topics = await admin.listTopics()
  assert.ok(Array.isArray(topics))
  const answers = looks.mock.callCount()
  assert.ok(answers > 0, 'an answer makes it look')
  await sleep(200)
  // One may have been under way; without our change there are 150.
  assert.ok(looks.mock.callCount() <= answers + 1, `${looks.mock.callCount() - answers} looks`)
})
