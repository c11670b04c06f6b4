import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Registry } from 'prom-client'
import { MemoryDisk, StateStore } from '../../state/index.js'
import { registerMemoryMetrics } from './index.js'

it('every part of a slot is a metric', async () => {
  const registry = new Registry()
  const store = await StateStore.open({ backend: new MemoryDisk().open(), keyGroups: 1 })
  await store.step('step').prefetch(['a', 'b'])
  const memory = { ...store.memory, block_cache: 7 }
  registerMemoryMetrics(registry, () => ({ slots: [{ slot: 3, memory }], budgetBytes: 1_000 }))
  const text = await registry.metrics()
  assert.match(text, /^weir_memory_bytes\{slot="3",part="state"\} [1-9]\d+$/m)
  assert.match(text, /^weir_memory_bytes\{slot="3",part="timers"\} 0$/m)
  assert.match(text, /^weir_memory_bytes\{slot="3",part="block_cache"\} 7$/m)
  assert.match(text, /^weir_memory_budget_bytes 1000$/m)
})
