import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Life, noFigures } from './model/life.js'

test('whatever can be restored is what the store held at that position', async () => {
  const root = await mkdtemp(join(tmpdir(), 'weir-checkpoint-model-'))
  const figures = noFigures()
  try {
    for (let seed = 1; seed <= 25; seed++) {
      try {
        await new Life(seed, join(root, String(seed)), figures).run(60)
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`, { cause: error })
      }
    }
  } finally {
    await rm(root, { recursive: true })
  }
  // A run that never came by these proves little.
  for (const [name, count] of Object.entries(figures)) assert.ok(count > 0, `no ${name}`)
})
