/** The disk fills up and gets room again, under a running engine: it says so, refuses, and goes on; nothing is lost. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventTime, isWeirError, systemClock, WeirError } from '../../kernel/index.js'
import { requiredOnly, type Transaction } from '../../schemas/avro/index.js'
import { MemoryDisk, type StateBackend } from '../../state/index.js'
import { shareMemory } from '../memory/index.js'
import { EmbeddedEngine } from './index.js'

/** A disk that can be full, and that never works again under the same owner once a write has failed. */
class FillingDisk {
  full = false
  opened = 0
  readonly #disk = new MemoryDisk()

  open(): StateBackend {
    const backend = this.#disk.open()
    let failed = false
    this.opened++
    return {
      getMany: keys => backend.getMany(keys),
      range: options => backend.range(options),
      snapshot: range => backend.snapshot(range),
      batch: () => backend.batch(),
      write: async (batch, options) => {
        await sleep(1) // a disk in memory answers before any timer can fire; real ones take their time
        failed ||= this.full
        if (failed) throw new WeirError('BACKEND_FAILED', 'no space left on device')
        await backend.write(batch, options)
      },
      close: () => backend.close(),
    }
  }
}

const transaction = (id: string): Transaction =>
  requiredOnly({
    transaction_id: id,
    event_time: eventTime(Date.UTC(2024, 0, 1)),
    customer_id: 'c',
    terminal_id: 't',
    amount_minor: 100,
    currency: 'EUR',
  })

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 1_000, 'it takes too long')
    await sleep(10)
  }
}

for (const moment of ['idle', 'under load'] as const) {
  test(`a disk that fills up while the engine is ${moment}`, async () => {
    const disk = new FillingDisk()
    const engine = await EmbeddedEngine.open({
      app: 'fraud',
      dataDir: 'unused',
      model: 'none',
      rules: undefined,
      features: undefined,
      cardKey: 'test',
      memory: shareMemory(512 << 20, { slots: 1, threads: 0 }),
      inFlightMax: 1_000,
      clock: systemClock,
      onEvent: () => {},
      openDatabase: async () => disk.open(),
    })
    const decided = new Map<string, Buffer>()
    const decide = async (id: string): Promise<void> => {
      const reply = await engine.decisions.decide(transaction(id), 20_000)
      assert.equal(reply.kind, 'decided')
      if (reply.kind === 'decided') decided.set(id, reply.decision)
    }
    for (let i = 0; i < 5; i++) await decide(`before-${i}`)

    const load = moment === 'idle' ? [] : Array.from({ length: 50 }, (_, i) => decide(`meanwhile-${i}`))
    disk.full = true
    const late = Array.from({ length: 10 }, (_, i) => decide(`full-${i}`))
    for (const outcome of await Promise.allSettled([...load, ...late])) {
      if (outcome.status === 'rejected') assert.ok(isWeirError(outcome.reason, 'LOG_UNAVAILABLE'), outcome.reason)
    }
    assert.match(engine.health.notReady().join(), /no space left/)
    await assert.rejects(engine.decisions.decide(transaction('refused'), 20_000), error =>
      isWeirError(error, 'LOG_UNAVAILABLE'),
    )

    disk.full = false
    await until(() => engine.health.notReady().length === 0)
    assert.ok(disk.opened > 1)
    await decide('after')
    for (const [id, decision] of decided) {
      assert.deepEqual(await engine.decisions.find(id, 'c'), { kind: 'found', decision })
    }
    // whatever became of the refused ones, sending them again gets each its one decision
    for (let i = 0; i < 10; i++) await decide(`full-${i}`)
    const last = JSON.parse(decided.get('full-9')!.toString()) as { features: Record<string, number> }
    const counted = decided.size - [...decided.keys()].filter(id => id.startsWith('meanwhile')).length
    const count = last.features.customer_id_nb_tx_1day_window!
    assert.ok(count >= counted && count <= counted + 50, `${count} of ${counted} are counted`)
    await engine.close()
  })
}
