import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { it } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { PausedReads } from './paused-reads.js'

const request = 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc'

it('after many refusals in a turn a connection is read again in the next, not before', async () => {
  const turns: (() => void)[] = []
  const paused = new PausedReads(work => void turns.push(work))
  let refused = 0
  const server = createServer((request, response) => {
    refused++
    response.writeHead(429, { 'content-length': 2 })
    response.end('no')
    paused.afterRefusal(request)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  // Sends the next one as soon as it has its answer.
  client.on('data', () => client.write(request))
  try {
    client.write(request)
    for (let turn = 1; turn <= 3; turn++) {
      const most = refused + 129
      const giveUpAt = performance.now() + 10_000
      while (refused < most && performance.now() < giveUpAt) await setTimeout(1)
      await setTimeout(20)
      assert.equal(refused, most, `in turn ${turn}`)
      assert.equal(turns.length, 1)
      turns.pop()!()
    }
  } finally {
    client.destroy()
    server.close()
  }
})
