/**
 * What becomes of a savepoint's state in another plan, decided before anything is read: for each step and each of its handles
 * whether it stays, moves, is left out or is made anew, entry by entry (restore.ts).
 *
 * Invariant: nothing is lost that nobody has named. Pure; its result is plain JSON, so that a genesis can carry it.
 */
import { WeirError } from '../../kernel/index.js'
import { whyUnresolvable } from './avro.js'
import { type CodecMigrations, codecMigrations, migratedLayout } from './codec-migrations.js'
import type { Savepoint } from './savepoint.js'
import { type CodecSchema, type HandleSchema, isHeld, type StepStateSchema } from './schema.js'

export interface MigrationWishes {
  /** `STEP`, or `STEP/STATE` for one state of it: left out. */
  readonly drop?: readonly string[]
  /** From the name in the savepoint, `STEP` or `STEP/STATE`, to the new one, of the step or the state alone. */
  readonly rename?: Readonly<Record<string, string>>
}

/** Every step of the savepoint, in its order. */
export type Migration = readonly StepMigration[]

export interface StepMigration {
  /** In the savepoint. */
  readonly from: string
  /** In the plan; null: left out. */
  readonly to: string | null
  readonly handles: readonly HandleMigration[]
}

export interface HandleMigration {
  readonly from: string
  readonly to: string | null
  readonly kind: HandleSchema['kind']
  /** It lies in one piece with its times (expiring.ts). */
  readonly held?: true
  /** What makes its entries anew; null: they stay as they are. */
  readonly change: CodecChange | null
}

export interface CodecChange {
  readonly from: CodecSchema
  readonly to: CodecSchema
}

/**
 * @param to of the plan that is to begin
 * @throws WeirError STATE_INCOMPATIBLE with every step and handle that does not fit, and what can be done; SAVEPOINT_OPEN;
 * USAGE for a wish that meets nothing
 */
export function planMigration(
  { name, closed, slots, steps }: Pick<Savepoint, 'name' | 'closed' | 'slots' | 'steps'>,
  to: readonly StepStateSchema[],
  wishes: MigrationWishes = {},
  migrations: CodecMigrations = codecMigrations,
): Migration {
  if (!closed && slots > 1) {
    throw new WeirError(
      'SAVEPOINT_OPEN',
      `the ${slots} slots of '${name}' were saved one by one, while rows went between them`,
    )
  }
  const planner = new Planner(to, wishes, migrations)
  const migration = steps.map(step => planner.step(step))
  planner.finish()
  return migration
}

class Planner {
  readonly #to: ReadonlyMap<string, StepStateSchema>
  readonly #drop: ReadonlySet<string>
  readonly #rename: ReadonlyMap<string, string>
  readonly #migrations: CodecMigrations
  readonly #differences: string[] = []
  /** Wishes that met something; and what the plan's steps and handles are made of, each once. */
  readonly #met = new Set<string>()
  readonly #taken = new Set<string>()

  constructor(
    to: readonly StepStateSchema[],
    { drop = [], rename = {} }: MigrationWishes,
    migrations: CodecMigrations,
  ) {
    this.#to = new Map(to.map(step => [step.step, step]))
    this.#drop = new Set(drop)
    this.#rename = new Map(Object.entries(rename))
    this.#migrations = migrations
  }

  /** @throws WeirError USAGE, STATE_INCOMPATIBLE */
  finish(): void {
    for (const wish of [...this.#drop, ...this.#rename.keys()]) {
      if (!this.#met.has(wish)) throw new WeirError('USAGE', `the savepoint has no state '${wish}' to drop or rename`)
    }
    if (this.#differences.length > 0) throw new WeirError('STATE_INCOMPATIBLE', this.#differences.join('; '))
  }

  step({ step, exchange, handles }: StepStateSchema): StepMigration {
    const kept = (handle: HandleSchema): HandleMigration => this.#handle(step, handle, undefined)
    if (exchange === true || this.#isDropped(step)) return { from: step, to: null, handles: handles.map(kept) }
    const to = this.#renamed(step) ?? step
    const found = this.#to.get(to)
    if (found === undefined || found.exchange === true) {
      const none = `step '${to}': the plan has none that keeps state`
      this.#differs(`${none} (drop ${step}, or rename ${step}=NEW)`)
      return { from: step, to: null, handles: handles.map(kept) }
    }
    this.#take(to)
    return { from: step, to, handles: handles.map(handle => this.#handle(step, handle, found)) }
  }

  /** @param to undefined: the step is left out, and its handles with it */
  #handle(step: string, handle: HandleSchema, to: StepStateSchema | undefined): HandleMigration {
    const { name, kind, codec } = handle
    const whole = `${step}/${name}`
    const gone: HandleMigration = { from: name, to: null, kind, change: null }
    if (to === undefined || this.#isDropped(whole)) return gone
    const renamed = this.#renamed(whole) ?? name
    const found = to.handles.find(handle => handle.name === renamed)
    const where = `step '${to.step}', state '${renamed}'`
    if (found === undefined) {
      this.#differs(`${where}: the plan has none (drop ${whole}, or rename ${whole}=NEW)`)
      return gone
    }
    this.#take(`${to.step}/${renamed}`)
    if (found.kind !== kind) {
      this.#differs(`${where}: a ${kind} has become a ${found.kind} (drop ${whole})`)
      return gone
    }
    if (isHeld(found) !== isHeld(handle)) {
      const how = isHeld(found) ? 'ends now (ttl, entriesMax), and did not before' : 'ends no more, and did before'
      this.#differs(`${where}: it ${how}, which is another form (drop ${whole})`)
      return gone
    }
    const why = this.#whyUnreadable(codec, found.codec) ?? whyNotApart(handle, found)
    if (why !== undefined) this.#differs(`${where}: ${why} (drop ${whole})`)
    // Another layout that is readable, of the same version, is read as it is.
    const asItIs = codec.version === found.codec.version && codec.schema === found.codec.schema
    const change = why !== undefined || asItIs ? null : { from: codec, to: found.codec }
    return { from: name, to: renamed, kind, ...(isHeld(found) && { held: true }), change }
  }

  #whyUnreadable(from: CodecSchema, to: CodecSchema): string | undefined {
    if (from.schema !== undefined && to.schema !== undefined) return whyUnresolvable(from.schema, to.schema)
    if (from.name !== to.name) return `codec ${from.name} has become ${to.name}`
    const way = this.#migrations.way(from.name, from.version, to.version)
    if (way === undefined) return `codec ${from.name} has version ${to.version}, and does not read ${from.version}`
    const before = migratedLayout(way, from)
    if (this.#migrations.readsLayout(from.name, before, to.layout)) return undefined
    return `codec ${from.name} is laid out as ${JSON.stringify(to.layout)}, and was as ${JSON.stringify(before)}`
  }

  #isDropped(what: string): boolean {
    if (!this.#drop.has(what)) return false
    this.#met.add(what)
    return true
  }

  #renamed(what: string): string | undefined {
    const to = this.#rename.get(what)
    if (to !== undefined) this.#met.add(what)
    return to
  }

  #take(what: string): void {
    if (this.#taken.has(what)) this.#differs(`'${what}' would have the state of two`)
    this.#taken.add(what)
  }

  #differs(what: string): void {
    this.#differences.push(what)
  }
}

/** In a map that lies in one piece only Avro's values, which stand behind their lengths, can be told apart without their codec. */
const whyNotApart = (from: HandleSchema, to: HandleSchema): string | undefined =>
  from.kind === 'map' && isHeld(from) && from.codec.schema === undefined && !same(from.codec, to.codec)
    ? 'entries of a map with a ttl or a bound are made anew by Avro schemas alone'
    : undefined

const same = (a: CodecSchema, b: CodecSchema): boolean =>
  a.version === b.version && a.schema === b.schema && JSON.stringify(a.layout) === JSON.stringify(b.layout)
