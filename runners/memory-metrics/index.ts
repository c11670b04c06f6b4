/**
 * `weir_memory_bytes`: what each part that has a share of the budget takes now. Apart from runners/memory, because loading prom-client
 * takes as long as the replay of a few thousand records.
 */
import { Gauge, type Registry } from 'prom-client'
import type { StoreMemory } from '../../state/index.js'

export interface MemoryFacts {
  /** By slot. */
  readonly slots: readonly { readonly slot: number; readonly memory: StoreMemory }[]
  readonly budgetBytes: number
}

export function registerMemoryMetrics(registry: Registry, facts: () => MemoryFacts): void {
  new Gauge({
    name: 'weir_memory_bytes',
    help: 'What a part of a slot takes: state (of it dirty and timers), and of RocksDB its block cache, tables in memory, indexes and filters',
    labelNames: ['slot', 'part'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { slot, memory } of facts().slots) {
        for (const [name, bytes] of Object.entries(memory)) this.set({ slot, part: name }, bytes)
      }
    },
  })
  new Gauge({
    name: 'weir_memory_budget_bytes',
    help: 'memory.budget: what process_resident_memory_bytes should stay below',
    registers: [registry],
    collect() {
      this.set(facts().budgetBytes)
    },
  })
}
