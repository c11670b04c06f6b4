/** Simulated customers outlast a log that refuses. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock, WeirError } from '../../kernel/index.js'
import { countOf } from '../../log/entries/index.js'
import { type LogProducer, offset } from '../../log/index.js'
import { playTraffic } from './traffic.js'

test('what the log refuses is sent again; another failure ends the traffic', async () => {
  let now = 0
  const clock: Clock = {
    nowMs: () => now,
    sleep: async ms => {
      now += ms
    },
  }
  const stopping = new AbortController()
  const outcomes = ['LOG_UNAVAILABLE', 'QUEUE_FULL', 'ok', 'ok'] as const
  const sent: number[] = []
  const producer = (last: () => void): LogProducer => ({
    append: async appends => {
      const outcome = outcomes[sent.length]
      sent.push(countOf(appends[0]!.records))
      if (outcome === undefined) last()
      else if (outcome !== 'ok') throw new WeirError(outcome, 'no')
      return [offset(0)]
    },
    sync: async () => {},
  })
  await playTraffic(
    producer(() => stopping.abort()),
    100,
    clock,
    stopping.signal,
  )
  assert.equal(sent.length, 5)
  assert.equal(sent[0], sent[1])
  assert.equal(sent[1], sent[2])

  sent.length = 4
  const failing = producer(() => {
    throw new WeirError('BACKEND_FAILED', 'gone')
  })
  await assert.rejects(playTraffic(failing, 100, clock, new AbortController().signal), /gone/)
})
