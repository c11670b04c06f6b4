import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { it } from 'node:test'
import { minutes } from '../../kernel/index.js'
import { kafkaMissing, startKafka } from '../../testing/services/index.js'
import { withKafka } from './kafka-for-tests.js'

const source = { missing: await kafkaMissing(), start: () => startKafka({ shared: true }) }

withKafka('the cluster of the Kafka log', source, tests => {
  it('is asked through another broker where one takes connections and says nothing', async () => {
    const sockets: Socket[] = []
    const silent = createServer(socket => void sockets.push(socket.resume()))
    silent.listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    try {
      // Whoever waits for the silent one waits for longer than this test may take.
      const limits = { requestMsMax: minutes(30) }
      const log = await tests.open({ brokers: [`127.0.0.1:${port}`, ...tests.kafka.brokers], limits })
      await log.createTopic('t', 3)
      assert.equal(await log.partitionCount('t'), 3)
      assert.equal(sockets.length, 1, 'the silent one was asked first, and once')
      await log.close()
    } finally {
      for (const socket of sockets) socket.destroy()
      silent.close()
    }
  })
})
