/** Timers are bounded: one that sets itself again, already due, ends the epoch with a clear error instead of never. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type EventTimeMs, eventTime, isWeirError, minutes } from '../../kernel/index.js'
import type { Operator } from '../../operators/index.js'
import { TopologyDriver } from '../../testing/index.js'
import { json, toJson, topology } from '../../topology/index.js'

interface Tick {
  readonly key: string
  readonly atMs: number
}

test('a timer that sets itself again, always due, meets its bound', async () => {
  const app = topology('timers')
  app
    .source(
      'ticks',
      json<Tick>('tick', value => value as Tick),
      {
        eventTime: tick => eventTime(tick.atMs),
        outOfOrderness: minutes(0),
      },
    )
    .keyBy('by-key', tick => tick.key)
    .process('again', {
      state: () => ({}),
      create: ({ timers }): Operator<Tick, number> => ({
        onRecord: (_tick, at) => {
          timers.timerAt(at)
          return true
        },
        onTimer: at => {
          timers.timerAt((at - 1) as EventTimeMs)
          return true
        },
      }),
    })
    .to('out', toJson<number>('number', String))
  const driver = await TopologyDriver.start(app, { limits: { timersPerEpochMax: 50 } })
  await assert.rejects(
    driver.send('ticks', [{ key: 'k', atMs: Date.UTC(2024, 0, 1) }]),
    error => isWeirError(error, 'EPOCH_FAILED') && /more than 50 timers in one epoch/.test(error.message),
  )
})
