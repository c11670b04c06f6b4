/** A worker and the command line where the brokers want to know who it is: log-ins, TLS, certificates. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Deployment, endOf, settled } from '../../testing/deployment/index.js'
import {
  addScramUser,
  authority,
  clientCertificate,
  clientKey,
  type KafkaForTests,
  kafkaMissing,
  password,
  securedListeners,
  startKafka,
  username,
} from '../../testing/services/index.js'
import { errorLine, weir } from '../replay/testing/cli.js'

const skip = (await kafkaMissing()) ?? false
const wrongPassword = 'wrong-secret'

const transaction = JSON.stringify({
  transaction_id: '1',
  event_time: Date.now(),
  customer_id: 'c',
  terminal_id: 't',
  amount_minor: 1,
  currency: 'EUR',
})

interface Way {
  readonly name: string
  readonly listener: string
  readonly env: Readonly<Record<string, string>>
}

describe('a worker on secured listeners', { skip }, () => {
  let kafka: KafkaForTests
  const made: Deployment[] = []
  before(async () => {
    kafka = await startKafka(securedListeners)
    await addScramUser(kafka)
  })
  after(async () => {
    for (const deployment of made) await deployment.close()
    await kafka.stop()
  })
  const deploy = async ({ listener, env }: Omit<Way, 'name'>): Promise<Deployment> => {
    const brokers = kafka.listener(listener)
    const deployment = await Deployment.create({ brokers, admin: kafka.brokers, name: 'secured', env })
    made.push(deployment)
    for (const [name, pem] of Object.entries({ ca: authority, cert: clientCertificate, key: clientKey })) {
      writeFileSync(join(deployment.folder, `${name}.pem`), pem)
    }
    return deployment
  }
  /** PEM files by their place in the deployment's folder. */
  const placed = (deployment: Deployment, env: Way['env']): Record<string, string> =>
    Object.fromEntries(
      Object.entries(env).map(([name, value]) => [
        name,
        value.endsWith('.pem') ? join(deployment.folder, value) : value,
      ]),
    )
  const sasl = (mechanism: string, secret = password): Record<string, string> => ({
    WEIR_KAFKA_SASL_MECHANISM: mechanism,
    WEIR_KAFKA_SASL_USERNAME: username,
    WEIR_KAFKA_SASL_PASSWORD: secret,
  })
  const ca = { WEIR_KAFKA_SSL_CA: 'ca.pem' }
  const certificate = { WEIR_KAFKA_SSL_CERT: 'cert.pem', WEIR_KAFKA_SSL_KEY: 'key.pem' }

  const ways: readonly Way[] = [
    { name: 'PLAIN', listener: 'SASL', env: sasl('PLAIN') },
    { name: 'SCRAM-SHA-256', listener: 'SASL', env: sasl('SCRAM-SHA-256') },
    { name: 'TLS with a client certificate', listener: 'MUTUAL', env: { ...ca, ...certificate } },
    { name: 'SCRAM-SHA-512 over TLS', listener: 'BOTH', env: { ...sasl('SCRAM-SHA-512'), ...ca } },
  ]
  for (const { name, listener, env } of ways) {
    it(`joins the group and decides by ${name}, and so do the verbs`, async () => {
      const deployment = await deploy({ listener, env })
      const own = { ...deployment.env, ...placed(deployment, env) }
      const worker = await deployment.worker(own)
      const file = join(deployment.folder, 'one.ndjson')
      writeFileSync(file, `${transaction}\n`)
      const sent = await weir(['produce', '--input', file, '--json'], { env: own })
      assert.equal(sent.code, 0, sent.stderr)
      await settled(worker)
      const decisions = await weir(['decisions', '--from-beginning', '--count', '1'], { env: own })
      assert.match(decisions.stdout, /"transaction_id":"1"/, decisions.stderr)
      assert.equal(await worker.stop(), 0, worker.stderr())
      for (const text of [worker.stderr(), decisions.stderr]) assert.ok(!text.includes(password), text)
    })
  }

  const refused: readonly Way[] = [
    { name: 'a wrong password, PLAIN', listener: 'SASL', env: sasl('PLAIN', wrongPassword) },
    { name: 'a wrong password, SCRAM', listener: 'SASL', env: sasl('SCRAM-SHA-256', wrongPassword) },
    { name: 'an authority that is not trusted', listener: 'BOTH', env: { ...sasl('PLAIN'), WEIR_KAFKA_SSL: 'true' } },
    { name: 'no certificate where one is asked for', listener: 'MUTUAL', env: ca },
  ]
  for (const { name, listener, env } of refused) {
    it(`ends with one clear line and no secret: ${name}`, async () => {
      const deployment = await deploy({ listener, env })
      const own = { ...deployment.env, ...placed(deployment, env) }
      const worker = await deployment.launch(own)
      assert.equal(await endOf(worker), 1)
      const lines = worker.stderr().trimEnd().split('\n')
      assert.match(lines.at(-1)!, /^KAFKA_REFUSED: no connection to 127\.0\.0\.1:\d+: .+; .+/, worker.stderr())
      const listed = await weir(['deadletter', 'list'], { env: own })
      assert.deepEqual([listed.code, /^KAFKA_REFUSED: /.test(errorLine(listed))], [1, true], listed.stderr)
      for (const secret of [password, wrongPassword]) {
        assert.ok(!worker.stderr().includes(secret) && !listed.stderr.includes(secret))
      }
    })
  }
})
