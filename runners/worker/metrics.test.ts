import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryDisk, StateStore } from '../../state/index.js'
import { CheckpointFigures } from './checkpoint-figures.js'
import type { SlotStatus } from './messages.js'
import { metricsOf } from './metrics.js'

const store = await StateStore.open({ backend: new MemoryDisk().open(), keyGroups: 1 })
const slot = (number: number, checkpoints: SlotStatus['checkpoints']): SlotStatus => ({
  ...{ slot: number, state: 'running', epoch: 9, stored: 8, counts: { records: 70 }, positions: [], inputs: [] },
  memory: store.memory,
  checkpoints,
})

async function linesOf(status: readonly SlotStatus[], nowMs: number): Promise<readonly string[]> {
  const registry = metricsOf({ status }, { nowMs: () => nowMs, sleep: async () => {} })
  const text = await registry.metrics()
  return text.split('\n').filter(line => /^weir_(checkpoint|restore)/.test(line))
}

test('counts are told as the journal has them, among them what came to the wrong partition', async () => {
  const counts = { records: 70, rekeyed: 3, scoring_failed: 2 }
  const status = { ...slot(1, undefined), counts }
  const registry = metricsOf({ status: [status] }, { nowMs: () => 0, sleep: async () => {} })
  const lines = (await registry.metrics()).split('\n')
  for (const line of [
    'records_total{slot="1"} 70',
    'rekeyed_total{slot="1"} 3',
    'scoring_failed_total{slot="1"} 2',
    'late_total{slot="1"} 0',
  ]) {
    assert.ok(lines.includes(`weir_slot_${line}`), line)
  }
})

test('checkpoints are told of slots that make them, and nothing that is not known', async () => {
  const figures = new CheckpointFigures()
  assert.deepEqual(await linesOf([slot(0, undefined)], 0), [])
  const fresh = await linesOf([slot(0, undefined), slot(1, figures.status(0))], 0)
  assert.deepEqual(fresh, [
    'weir_checkpoint_failures_total{slot="1"} 0',
    'weir_checkpoint_spool_bytes{slot="1"} 0',
    'weir_restores_total{slot="1"} 0',
    'weir_restored_bytes_total{slot="1"} 0',
    'weir_restore_seconds_total{slot="1"} 0',
    'weir_checkpoints_made_total{slot="1",how="full"} 0',
    'weir_checkpoints_made_total{slot="1",how="incremental"} 0',
  ])
})

test('the figures follow what a slot says', async () => {
  const figures = new CheckpointFigures()
  figures.note({ kind: 'restored', epoch: 5, bytes: 3_000, ms: 1_500 }, 10_000)
  figures.note({ kind: 'checkpoint-found', epoch: 5, atMs: 4_000 }, 12_000)
  assert.ok((await linesOf([slot(1, figures.status(0))], 20_000)).includes('weir_checkpoint_age_seconds{slot="1"} 16'))
  figures.note({ kind: 'checkpoint-failed', epoch: 6, message: 'gone' }, 21_000)
  const made = { epoch: 7, bytesWritten: 10, bytesTotal: 110, segmentsWritten: 1, ms: 2_000 }
  figures.note({ kind: 'checkpoint', how: 'full', ...made }, 30_000)
  figures.note({ kind: 'checkpoint', how: 'incremental', ...made, epoch: 8 }, 40_000)
  assert.deepEqual(await linesOf([slot(1, figures.status(77))], 50_000), [
    'weir_checkpoint_age_seconds{slot="1"} 12',
    'weir_checkpoint_epoch{slot="1"} 8',
    'weir_checkpoint_seconds{slot="1"} 2',
    'weir_checkpoint_written_bytes{slot="1"} 10',
    'weir_checkpoint_restore_bytes{slot="1"} 110',
    'weir_checkpoint_failures_total{slot="1"} 1',
    'weir_checkpoint_spool_bytes{slot="1"} 77',
    'weir_restores_total{slot="1"} 1',
    'weir_restored_bytes_total{slot="1"} 3000',
    'weir_restore_seconds_total{slot="1"} 1.5',
    'weir_checkpoints_made_total{slot="1",how="full"} 1',
    'weir_checkpoints_made_total{slot="1",how="incremental"} 1',
  ])
})

test('what only grows is a counter, and the rest are gauges', async () => {
  const figures = new CheckpointFigures().status(0)
  const registry = metricsOf({ status: [slot(1, figures)] }, { nowMs: () => 0, sleep: async () => {} })
  const text = await registry.metrics()
  const types = [...text.matchAll(/^# TYPE (weir_\w+) (\w+)$/gm)]
  assert.ok(types.length > 20)
  for (const [, name, type] of types) assert.equal(type, name!.endsWith('_total') ? 'counter' : 'gauge', name)
  for (const kind of ['records', 'decisions', 'duplicates', 'conflicts', 'dead_letters', 'late'])
    assert.match(text, new RegExp(`^weir_slot_${kind}_total\\{slot="1"\\} ${kind === 'records' ? 70 : 0}$`, 'm'))
})
