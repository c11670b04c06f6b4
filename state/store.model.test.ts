import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { MemoryDisk } from './backends/memory.js'
import { openRocksDb } from './backends/open.js'
import { type ModelDisk, type ModelFigures, ModelRun } from './model/run.js'

async function runSeeds(
  seeds: number,
  epochs: number,
  disk: (seed: number) => Promise<ModelDisk>,
): Promise<ModelFigures> {
  const total: ModelFigures = { misses: 0, evicted: 0, swept: 0, discards: 0, looks: 0, crashes: 0 }
  for (let seed = 1; seed <= seeds; seed++) {
    // From a cache that holds next to nothing to one that holds everything.
    const run = new ModelRun(seed, await disk(seed), [2_000, 10_000, 1 << 30][seed % 3]!)
    try {
      await run.run(epochs)
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`, { cause: error })
    }
    for (const name of Object.keys(total) as (keyof ModelFigures)[]) total[name] += run.figures[name]
  }
  return total
}

/** A run that never came by these proves little. */
function coversEverything(figures: ModelFigures): void {
  for (const [name, count] of Object.entries(figures)) assert.ok(count > 0, `no ${name}`)
}

describe('the store reads as plain Maps would', () => {
  it('in memory, with crashes that lose unsynced writes', async () => {
    const figures = await runSeeds(45, 60, async () => {
      const disk = new MemoryDisk()
      return {
        open: async () => disk.open(),
        crash: async (_backend, random) => disk.crash(random.below(disk.unsynced + 1)),
      }
    })
    coversEverything(figures)
  })

  it('on RocksDB, closed and opened again', async () => {
    const root = await mkdtemp(join(tmpdir(), 'weir-model-'))
    try {
      const figures = await runSeeds(3, 60, async seed => ({
        open: () => openRocksDb(join(root, String(seed))),
        crash: backend => backend.close(),
      }))
      coversEverything(figures)
    } finally {
      await rm(root, { recursive: true })
    }
  })
})
