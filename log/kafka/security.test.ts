import assert from 'node:assert/strict'
import { it } from 'node:test'
import { isWeirError } from '../../kernel/index.js'
import {
  addScramUser,
  authority,
  clientCertificate,
  clientKey,
  kafkaMissing,
  password,
  securedListeners,
  startKafka,
  username,
} from '../../testing/services/index.js'
import type { KafkaOptions, KafkaSasl } from './index.js'
import { withKafka } from './kafka-for-tests.js'
import { append, valuesIn } from './records-for-tests.js'

const source = {
  missing: await kafkaMissing(),
  start: () => startKafka(securedListeners),
}

withKafka('connections of the Kafka log', source, tests => {
  const sasl = (mechanism: KafkaSasl['mechanism'], own = password): KafkaSasl => ({
    mechanism,
    username,
    password: own,
  })
  const ways: [string, string, Partial<KafkaOptions>][] = [
    ['PLAIN', 'SASL', { sasl: sasl('PLAIN') }],
    ['SCRAM-SHA-256', 'SASL', { sasl: sasl('SCRAM-SHA-256') }],
    ['SCRAM-SHA-512', 'SASL', { sasl: sasl('SCRAM-SHA-512') }],
    ['TLS with a client certificate', 'MUTUAL', { tls: { ca: authority, cert: clientCertificate, key: clientKey } }],
    ['SCRAM-SHA-512 over TLS', 'BOTH', { sasl: sasl('SCRAM-SHA-512'), tls: { ca: authority } }],
  ]
  const brokersOf = (listener: string): readonly string[] => tests.kafka.listener(listener)

  it('users are there', async () => {
    await addScramUser(tests.kafka)
  })

  for (const [way, listener, options] of ways) {
    it(`commits and reads by ${way}`, async () => {
      const log = await tests.open({ brokers: brokersOf(listener), ...options })
      await log.createTopic('t', 1)
      const committer = await log.committer('slot')
      await committer.commit([append('t', 0, way)])
      await log.append([append('t', 0, 'again')])
      assert.deepEqual(await valuesIn(log, 't'), [way, 'again'])
    })
  }

  const wrong: [string, string, Partial<KafkaOptions>][] = [
    ['a wrong password, PLAIN', 'SASL', { sasl: sasl('PLAIN', 'wrong-secret') }],
    ['a wrong password, SCRAM', 'SASL', { sasl: sasl('SCRAM-SHA-256', 'wrong-secret') }],
    ['an authority that is not trusted', 'BOTH', { sasl: sasl('PLAIN'), tls: {} }],
    ['no certificate where one is asked for', 'MUTUAL', { tls: { ca: authority } }],
    ['TLS towards a broker without', 'SASL', { sasl: sasl('PLAIN'), tls: { ca: authority } }],
  ]
  for (const [what, listener, options] of wrong) {
    it(`refuses ${what} at once, and prints no password`, async () => {
      const log = await tests.open({ brokers: brokersOf(listener), ...options })
      await assert.rejects(log.partitionCount('t'), error => {
        assert.ok(isWeirError(error, 'KAFKA_REFUSED'), `${error}`)
        for (const secret of [password, 'wrong-secret']) assert.ok(!inspected(error).includes(secret))
        return true
      })
    })
  }
})

/** An error as a log prints it, causes included. */
function inspected(error: unknown): string {
  return error instanceof Error ? `${error.stack} ${JSON.stringify(error)} ${inspected(error.cause)}` : String(error)
}
