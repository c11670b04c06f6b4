/** A worker and an edge with the access rights that docs/operations.md lists, and no others. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import kafkajs from 'kafkajs'
import { Deployment, settled, until } from '../../testing/deployment/index.js'
import {
  type KafkaForTests,
  kafkaMissing,
  password,
  securedListeners,
  startKafka,
  username,
} from '../../testing/services/index.js'
import { freePort, startEdge } from '../../testing/weir-process/index.js'

const {
  AclOperationTypes: Right,
  AclPermissionTypes,
  AclResourceTypes: Kind,
  Kafka,
  logLevel,
  ResourcePatternTypes: Pattern,
} = kafkajs
const skip = (await kafkaMissing()) ?? false

type Granted = readonly [kind: number, pattern: number, name: string, ...rights: number[]]

const workers: readonly Granted[] = [
  [Kind.TOPIC, Pattern.LITERAL, 'transactions', Right.READ],
  [Kind.TOPIC, Pattern.LITERAL, 'labels', Right.READ],
  [Kind.TOPIC, Pattern.PREFIXED, 'weir.fraud.', Right.READ, Right.WRITE],
  [Kind.TOPIC, Pattern.LITERAL, 'weir.fraud.epochs', Right.DELETE],
  [Kind.TOPIC, Pattern.LITERAL, 'transactions.dead-letter', Right.WRITE],
  [Kind.TOPIC, Pattern.LITERAL, 'decisions.replies', Right.WRITE],
  [Kind.GROUP, Pattern.LITERAL, 'weir.fraud', Right.READ],
  [Kind.TRANSACTIONAL_ID, Pattern.PREFIXED, 'weir.fraud.slot-', Right.WRITE],
]
const toDecide: readonly Granted[] = [[Kind.TOPIC, Pattern.LITERAL, 'decisions', Right.WRITE]]
const edges: readonly Granted[] = [
  [Kind.TOPIC, Pattern.LITERAL, 'transactions', Right.WRITE],
  [Kind.TOPIC, Pattern.LITERAL, 'labels', Right.WRITE],
  [Kind.TOPIC, Pattern.LITERAL, 'decisions.provisional', Right.WRITE],
  [Kind.TOPIC, Pattern.LITERAL, 'decisions', Right.READ],
  [Kind.TOPIC, Pattern.LITERAL, 'decisions.replies', Right.READ],
  [Kind.TOPIC, Pattern.LITERAL, 'weir.fraud.epochs', Right.DESCRIBE],
]

const transaction = (id: string): string =>
  JSON.stringify({
    transaction_id: id,
    event_time: Date.now(),
    customer_id: 'c',
    terminal_id: 't',
    amount_minor: 1,
    currency: 'EUR',
  })

describe('access rights', { skip }, () => {
  let kafka: KafkaForTests
  let deployment: Deployment
  before(async () => {
    kafka = await startKafka({
      ...securedListeners,
      properties: {
        ...securedListeners.properties,
        'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
        // The brokers among themselves, and who sets up the test.
        'super.users': 'User:ANONYMOUS',
      },
    })
    deployment = await Deployment.create({
      brokers: kafka.listener('SASL'),
      admin: kafka.brokers,
      name: 'rights',
      env: {
        WEIR_KAFKA_SASL_MECHANISM: 'PLAIN',
        WEIR_KAFKA_SASL_USERNAME: username,
        WEIR_KAFKA_SASL_PASSWORD: password,
      },
    })
  })
  after(async () => {
    await deployment?.close()
    await kafka?.stop()
  })

  async function change(granted: readonly Granted[], what: 'grant' | 'revoke'): Promise<void> {
    const admin = new Kafka({ brokers: [...kafka.brokers], logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    const acl = granted.flatMap(([resourceType, resourcePatternType, name, ...rights]) =>
      rights.map(operation => ({
        ...{ resourceType, resourcePatternType, operation, resourceName: deployment.prefix + name },
        ...{ principal: `User:${username}`, host: '*', permissionType: AclPermissionTypes.ALLOW },
      })),
    )
    if (what === 'grant') await admin.createAcls({ acl })
    else await admin.deleteAcls({ filters: acl })
    await admin.disconnect()
  }

  it('a worker decides with those of a worker, names one that is missing, and goes on once it is there', async () => {
    await change([...workers, ...toDecide], 'grant')
    const worker = await deployment.worker()
    await deployment.send('transactions', 0, 'c', transaction('1'))
    await settled(worker)
    await change(toDecide, 'revoke')
    await deployment.send('transactions', 0, 'c', transaction('2'))
    const state = await until(worker, ({ reasons }) =>
      reasons.some(reason => /^slot 0 is failed: KAFKA_REFUSED: .*decisions.*topicAuthorizationFailed/.test(reason)),
    )
    assert.equal(state.ready, false)
    assert.match(worker.stderr(), /"code":"KAFKA_REFUSED","reason":"KAFKA_REFUSED: .*topicAuthorizationFailed \(29\)/)
    await change(toDecide, 'grant')
    await settled(worker)
    assert.equal((await deployment.read('decisions')).length, 2)
    await deployment.send('transactions', 0, 'c', 'nothing that can be read')
    await deployment.readAtLeast('transactions.dead-letter', 1)
    assert.equal(await worker.stop(), 0, worker.stderr())
    await change([...workers, ...toDecide], 'revoke')
  })

  it('an edge serves with those of an edge', async () => {
    await change(edges, 'grant')
    const edge = await startEdge(kafka.listener('SASL'), join(deployment.folder, 'edge'), await freePort(), {
      env: deployment.env,
    })
    try {
      const asked = await fetch(`${edge.url}/v1/decisions?deadline_ms=50&on_deadline=review`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: transaction('3'),
      })
      assert.equal(asked.status, 200, await asked.text())
      assert.equal((await fetch(`${edge.url}/v1/decisions/1?customer_id=c`)).status, 200)
    } finally {
      assert.equal(await edge.stop(), 0, edge.stderr())
    }
  })
})
