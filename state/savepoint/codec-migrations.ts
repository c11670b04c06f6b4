/**
 * How state that an earlier version of a codec wrote becomes that of a later one. Whoever gives a codec a new version registers
 * the way from the one before, beside the codec; a restore goes all the way from the version that it finds.
 */
import { assert } from '../../kernel/index.js'
import type { Json } from '../inspect.js'
import type { CodecSchema } from './schema.js'

/** One stored entry of a key: the value or root, or a part (an entry of a map, a page). */
export interface StoredEntry {
  /** Of a part: the sub-key or the page's name; undefined for a value or root. */
  readonly id: string | undefined
  /** As the codec wrote them. */
  readonly bytes: Buffer
}

export interface CodecMigration {
  readonly codec: string
  readonly from: number
  readonly to: number
  /** The layout that it leaves behind, from the one that it found; without this function it stays as it is. */
  layout?(before: Json | undefined): Json | undefined
  /** @throws Error whose message has nothing of the bytes in it */
  entry(entry: StoredEntry, layout: Json | undefined): Uint8Array
}

/** Whether a codec reads what it wrote with another layout of the same version as it is, losing nothing. */
export type ReadsLayout = (before: Json | undefined, after: Json | undefined) => boolean

export class CodecMigrations {
  readonly #all: CodecMigration[] = []
  readonly #layouts = new Map<string, ReadsLayout>()

  /** One for each codec and version that it begins with. */
  register(migration: CodecMigration): void {
    const { codec, from, to } = migration
    assert(from < to, `a migration of ${codec} goes forward`)
    assert(this.#find(codec, from) === undefined, `a migration of ${codec} from ${from} is registered already`)
    this.#all.push(migration)
  }

  /** For a codec whose layout has what its bytes do not depend on; without this any other layout is unreadable. */
  registerLayouts(codec: string, reads: ReadsLayout): void {
    assert(!this.#layouts.has(codec), `what layouts ${codec} reads is registered already`)
    this.#layouts.set(codec, reads)
  }

  readsLayout(codec: string, before: Json | undefined, after: Json | undefined): boolean {
    const same = JSON.stringify(before) === JSON.stringify(after)
    return same || this.#layouts.get(codec)?.(before, after) === true
  }

  #find(codec: string, from: number): CodecMigration | undefined {
    return this.#all.find(migration => migration.codec === codec && migration.from === from)
  }

  /** Those that lead from one version to another, in their order; undefined where the way ends before. */
  way(codec: string, from: number, to: number): readonly CodecMigration[] | undefined {
    const steps: CodecMigration[] = []
    for (let version = from; version !== to; ) {
      const next = version < to ? this.#find(codec, version) : undefined
      if (next === undefined) return undefined
      steps.push(next)
      version = next.to
    }
    return steps
  }
}

/** Those of the operators and of whoever writes codecs of their own. */
export const codecMigrations = new CodecMigrations()

/** What is left of a codec's layout at the end of the way. */
export const migratedLayout = (way: readonly CodecMigration[], { layout }: CodecSchema): Json | undefined =>
  way.reduce((before, migration) => (migration.layout === undefined ? before : migration.layout(before)), layout)
