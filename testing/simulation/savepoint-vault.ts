/** The savepoints of a world, which somebody damages. */
import { type CheckpointStore, MemoryObjects } from '../../state/index.js'
import type { Hits } from './chaos.js'
import { type BeforeCall, faultyStore } from './faulty-store.js'
import type { Random } from './random.js'

export class SavepointVault {
  readonly #objects = new MemoryObjects()
  /** Of what is damaged, as it was. */
  readonly #originals = new Map<string, Buffer>()
  #wasDamaged = false

  open(before: BeforeCall): CheckpointStore {
    const inner = this.#objects.open()
    const written = (name: string): boolean => this.#originals.delete(name)
    return faultyStore(
      {
        put: async (name, bytes) => {
          await inner.put(name, bytes)
          written(name)
        },
        create: async (name, bytes) => {
          const isNew = await inner.create(name, bytes)
          if (isNew) written(name)
          return isNew
        },
        get: name => inner.get(name),
        list: prefix => inner.list(prefix),
        delete: names => inner.delete(names),
        close: () => inner.close(),
      },
      before,
    )
  }

  /** Cuts an object short, or changes a bit of it. One that is lost could be made anew, and would be another one. */
  damage(random: Random, hits: Hits): void {
    const { objects } = this.#objects
    const name = random.pick([...objects.keys()].sort())
    if (name === undefined || this.#originals.has(name)) return
    const bytes = Buffer.from(objects.get(name)!)
    if (bytes.length === 0) return
    this.#originals.set(name, Buffer.from(bytes))
    if (random.chance(0.5)) objects.set(name, bytes.subarray(0, random.below(bytes.length)))
    else {
      bytes[random.below(bytes.length)]! ^= 1 << random.below(8)
      objects.set(name, bytes)
    }
    this.#wasDamaged = true
    hits.add('savepoint damaged')
  }

  /** A person puts back what was damaged. @returns whether anything ever was: who read it may say so late */
  heal(): boolean {
    for (const [name, bytes] of this.#originals) this.#objects.objects.set(name, bytes)
    this.#originals.clear()
    return this.#wasDamaged
  }
}
