/**
 * The checkpoint store of one slot as the simulation sees it: what was ever put there, what somebody lost or damaged since, and
 * what must be found whole.
 */
import { offset, type TopicPartition } from '../../log/index.js'
import type { MemoryDisk } from '../../log/memory/index.js'
import { journalTopicOf, parseJournalRecord, planOf } from '../../runners/slot/index.js'
import { Catalogue, type CheckpointStore, type Manifest, MemoryObjects } from '../../state/index.js'
import type { Hits } from './chaos.js'
import { Difference } from './difference.js'
import { type BeforeCall, faultyStore } from './faulty-store.js'
import type { Random } from './random.js'
import { app } from './topology.js'

export class Vault {
  readonly #slot: number
  readonly #disk: MemoryDisk
  readonly #objects = new MemoryObjects()
  /** Everything that was put and not deleted by retention, undamaged. */
  readonly #originals = new Map<string, Buffer>()
  readonly #damaged = new Set<string>()
  /** Manifests that the slot's owner published whole, and of which nothing was damaged since. */
  readonly #publishedUsable = new Set<string>()

  everDamaged = false

  constructor(slot: number, disk: MemoryDisk) {
    this.#slot = slot
    this.#disk = disk
  }

  /**
   * @param onManifest one was published; `lacks`: segments that it names are not there, and nobody damaged them
   */
  open(before: BeforeCall, onManifest: (lacks: boolean) => 'of the owner' | 'of a zombie'): CheckpointStore {
    const inner = this.#objects.open()
    const keep = (name: string, bytes: Uint8Array): void => {
      this.#originals.set(name, Buffer.from(bytes))
      this.#damaged.delete(name)
    }
    return faultyStore(
      {
        put: async (name, bytes) => {
          await inner.put(name, bytes)
          keep(name, bytes)
        },
        create: async (name, bytes) => {
          if (!(await inner.create(name, bytes))) return false
          keep(name, bytes)
          const manifest = this.#parse(Buffer.from(bytes))
          const lacks = !this.#isWhole(manifest)
          // A zombie's may come when the owner has trimmed the journal behind a later one, and has its segments taken as it comes.
          const isDamaged = this.#partsOf(name, Buffer.from(bytes)).some(part => this.#damaged.has(part))
          if (onManifest(lacks) === 'of the owner' && !lacks && !isDamaged) this.#publishedUsable.add(name)
          return true
        },
        get: name => inner.get(name),
        list: prefix => inner.list(prefix),
        delete: async names => {
          await inner.delete(names)
          for (const name of names) {
            this.#originals.delete(name)
            this.#damaged.delete(name)
          }
        },
        close: () => inner.close(),
      },
      before,
    )
  }

  /** Somebody loses an object, cuts it short or changes a bit of it. */
  damage(random: Random, hits: Hits): void {
    const { objects } = this.#objects
    const name = random.pick([...objects.keys()].sort())
    if (name === undefined) return
    const bytes = Buffer.from(objects.get(name)!)
    const how = random.pick(['lost', 'cut short', 'corrupt'] as const)
    if (how === 'lost') objects.delete(name)
    else if (how === 'cut short') objects.set(name, bytes.subarray(0, random.below(bytes.length)))
    else {
      bytes[random.below(bytes.length)]! ^= 1 << random.below(8)
      objects.set(name, bytes)
    }
    this.#damaged.add(name)
    this.everDamaged = true
    // Retention may take for gone what it cannot read, and what only that needs.
    for (const published of this.#publishedUsable) {
      const bytes = this.#originals.get(published)
      if (bytes === undefined || this.#partsOf(published, bytes).includes(name)) this.#publishedUsable.delete(published)
    }
    hits.add(`object ${how}`)
  }

  /** A person puts back what was damaged; manifests only where retention has left their segments. */
  heal(): void {
    const { objects } = this.#objects
    const damaged = [...this.#damaged].sort().reverse()
    this.#damaged.clear()
    // Segments come first: `segments/` is behind `manifests/`.
    for (const name of damaged) {
      const bytes = this.#originals.get(name)!
      if (name.includes('/segments/') || this.#isWhole(this.#parse(bytes))) objects.set(name, bytes)
      else this.#originals.delete(name)
    }
  }

  /** Of each manifest that nobody removed, the newest first. */
  names(): readonly string[] {
    return [...this.#originals.keys()]
      .filter(name => name.includes('/manifests/'))
      .sort()
      .reverse()
  }

  /** In the order of their names; `damaged`: it cannot be restored as things are. */
  manifests(): readonly { readonly manifest: Manifest; readonly whole: boolean; readonly damaged: boolean }[] {
    return this.names().map(name => {
      const manifest = this.#parse(this.#originals.get(name)!)
      const damaged = this.#partsOf(name, this.#originals.get(name)!).some(part => this.#damaged.has(part))
      return { manifest, whole: this.#isWhole(manifest), damaged }
    })
  }

  /** From which a slot of this plan that lost everything goes on as things are. */
  usable(plan: number): readonly Manifest[] {
    return this.manifests().flatMap(({ manifest, whole, damaged }) =>
      whole && !damaged && this.#isReachable(manifest) && planOfManifest(manifest) === plan ? [manifest] : [],
    )
  }

  /**
   * After retention and trimming: as many as are to be kept can be gone on from, but for what somebody damaged.
   * @throws Difference
   */
  checkKept(countMin: number): void {
    const due = Math.min(countMin, this.#publishedUsable.size)
    const kept = this.manifests().filter(({ manifest, whole }) => whole && this.#isReachable(manifest))
    if (kept.length < due) {
      const all = this.manifests().map(
        ({ manifest, whole }) =>
          `${manifest.epoch}${whole ? '' : ' lacks segments'}${this.#isReachable(manifest) ? '' : ' is trimmed'}`,
      )
      throw new Difference(`${kept.length} of ${due} checkpoints are kept; there are: ${all.join(', ')}`)
    }
  }

  #parse(bytes: Buffer): Manifest {
    return JSON.parse(bytes.toString()) as Manifest
  }

  #partsOf(name: string, bytes: Buffer): readonly string[] {
    return [name, ...this.#parse(bytes).segments.map(segment => this.#segment(segment.name))]
  }

  #segment(name: string): string {
    return `${app}/${this.#slot}/segments/${name}`
  }

  /** Every segment was put and not removed, whatever happened to it since. */
  #isWhole(manifest: Manifest): boolean {
    return manifest.segments.every(({ name }) => this.#originals.has(this.#segment(name)))
  }

  #isReachable({ resume, inputs }: Manifest): boolean {
    const has = (at: TopicPartition, from: bigint): boolean => this.#disk.topics.range(at).earliest <= from
    const journal = { topic: journalTopicOf(app), partition: this.#slot }
    return has(journal, offset(resume?.offset ?? 0)) && inputs.every(({ offset: from, ...at }) => has(at, BigInt(from)))
  }

  /** For who only restores. */
  reading(before: BeforeCall): Catalogue {
    return new Catalogue(faultyStore(this.#objects.open(), before), app, this.#slot)
  }
}

const planOfManifest = ({ resume }: Manifest): number | undefined =>
  resume === null ? undefined : planOf(parseJournalRecord(Buffer.from(resume.genesis)))
