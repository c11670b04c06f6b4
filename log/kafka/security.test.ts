import assert from 'node:assert/strict'
import { it } from 'node:test'
import { isWeirError } from '../../kernel/index.js'
import { kafkaMissing, startKafka } from '../../testing/services/index.js'
import type { KafkaOptions, KafkaSasl } from './index.js'
import { withKafka } from './kafka-for-tests.js'
import { append, valuesIn } from './records-for-tests.js'
import { authority, clientCertificate, clientKey, serverCertificate, serverKey } from './tls-for-tests.js'

const username = 'weir'
const password = 'tr0ub4dor&3'
const plainLogin = `org.apache.kafka.common.security.plain.PlainLoginModule required user_${username}="${password}";`
const scramLogin = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
/** A property's value on one line. */
const folded = (pem: string): string => pem.trim().replaceAll('\n', '\\n')

const logIn = (listener: string): Record<string, string> => ({
  [`listener.name.${listener}.sasl.enabled.mechanisms`]: 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
  [`listener.name.${listener}.plain.sasl.jaas.config`]: plainLogin,
  [`listener.name.${listener}.scram-sha-256.sasl.jaas.config`]: scramLogin,
  [`listener.name.${listener}.scram-sha-512.sasl.jaas.config`]: scramLogin,
})

const encrypted = (listener: string, clientAuthentication: 'none' | 'required'): Record<string, string> => ({
  [`listener.name.${listener}.ssl.keystore.type`]: 'PEM',
  [`listener.name.${listener}.ssl.keystore.certificate.chain`]: folded(serverCertificate),
  [`listener.name.${listener}.ssl.keystore.key`]: folded(serverKey),
  [`listener.name.${listener}.ssl.truststore.type`]: 'PEM',
  [`listener.name.${listener}.ssl.truststore.certificates`]: folded(authority),
  [`listener.name.${listener}.ssl.client.auth`]: clientAuthentication,
})

const source = {
  missing: await kafkaMissing(),
  start: () =>
    startKafka({
      listeners: { SASL: 'SASL_PLAINTEXT', MUTUAL: 'SSL', BOTH: 'SASL_SSL' },
      properties: {
        ...logIn('sasl'),
        ...encrypted('mutual', 'required'),
        ...logIn('both'),
        ...encrypted('both', 'none'),
      },
    }),
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
    for (const mechanism of ['SCRAM-SHA-256', 'SCRAM-SHA-512']) {
      const { code, stderr } = await tests.kafka.tool('kafka.admin.ConfigCommand', [
        ...['--bootstrap-server', tests.kafka.brokers.join(','), '--alter', '--entity-type', 'users'],
        ...['--entity-name', username, '--add-config', `${mechanism}=[password=${password}]`],
      ])
      assert.equal(code, 0, stderr)
    }
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
