/** What was a dead letter only because of the moment stays one in a replay (I3). */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { days, eventTime } from '../../kernel/index.js'
import { count } from '../../operators/index.js'
import { RecordError } from '../../schemas/avro/index.js'
import { TopologyDriver } from '../../testing/index.js'
import { type SourceFormat, toJson, topology } from '../../topology/index.js'

interface Payment {
  readonly who: string
}

it('a record whose schema the registry learns later is left out of the replay too', async () => {
  let known = false
  const format: SourceFormat<Payment> = {
    name: 'payment',
    decode: (bytes, start, end) => {
      const { who, schema } = JSON.parse(bytes.toString('utf8', start, end))
      return schema === 7 && !known ? new RecordError('UNKNOWN_SCHEMA', 'no schema 7') : { who }
    },
  }
  const app = topology('momentary')
  app
    .source('in', format, { eventTime: () => eventTime(Date.UTC(2024, 0, 1)) })
    .keyBy('by-who', p => p.who)
    .velocity('spending', {}, { n: count().over(days(1)) })
    .withFeatures('seen', (_, { n }) => ({ n }))
    .to(
      'out',
      toJson<{ n: number | undefined }>('n', () => ''),
    )
  await using driver = await TopologyDriver.start(app)
  await driver.send('in', [{ who: 'anna' }, { who: 'anna', schema: 7 }])
  assert.deepEqual(
    (await driver.deadLetters()).map(({ code }) => code),
    ['UNKNOWN_SCHEMA'],
  )
  known = true
  await driver.crash()
  await driver.send('in', [{ who: 'anna' }])
  assert.deepEqual(await driver.read('out'), [{ n: 1 }, { n: 2 }])
})
