import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock } from '../../kernel/index.js'
import type { Position } from '../../log/index.js'
import { MemoryDisk, StateStore } from '../../state/index.js'
import { type CheckpointParts, withCheckpoints } from './checkpoints.js'

test('the journal is trimmed behind the oldest checkpoint that is kept', async () => {
  const root = await mkdtemp(join(tmpdir(), 'weir-worker-checkpoints-'))
  const backend = new MemoryDisk().open()
  const trims: Position[] = []
  const told: string[] = []
  let refuses = false
  const parts: CheckpointParts = {
    job: { place: { store: join(root, 'store') }, everyMs: 0, keep: 2, trimsJournal: true },
    app: 'fraud',
    slot: 4,
    spoolDirectory: join(root, 'slot-4.spool'),
    backend,
    log: {
      trim: async before => {
        if (refuses) throw new Error('the broker refuses')
        trims.push(before)
      },
    },
    clock: systemClock,
    onEvent: event => told.push(event.kind),
  }
  try {
    await withCheckpoints(parts, async ({ checkpointer, spool, catalogue }) => {
      const store = await StateStore.open({ backend, keyGroups: 8, spool })
      const writeBack = async (epoch: number): Promise<void> => {
        const resume = { offset: epoch * 10, genesis: '{}' }
        const position = { epoch, journalHash: `h${epoch}`, fingerprint: 'f', resume }
        await store.write(store.serialise(), position, { sync: false })
        await checkpointer.afterWriteBack([])
        await checkpointer.idle()
      }
      for (let epoch = 1; epoch <= 5; epoch++) await writeBack(epoch)
      // The first write-back only has it look at what there is.
      assert.deepEqual(
        trims.map(({ topic, partition, offset }) => [topic, partition, Number(offset)]),
        [20, 20, 30, 40].map(at => ['weir.fraud.epochs', 4, at]),
      )
      const kept: number[] = []
      for await (const found of catalogue.newestFirst()) if ('manifest' in found) kept.push(found.manifest.epoch)
      assert.deepEqual(kept, [5, 4])
      assert.ok(!told.includes('checkpoint-failed'))
      refuses = true
      await writeBack(6)
      assert.ok(told.includes('checkpoint-failed'))
    })
    assert.equal((await readdir(join(root, 'slot-4.spool'))).length, 1)
  } finally {
    await rm(root, { recursive: true })
  }
})
