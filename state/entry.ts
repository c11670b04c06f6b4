/**
 * What the cache holds: an entry for each resident key of a step, with one cell for each handle that the step declared.
 *
 * Invariants: 1. a resident key is resident whole: every value and every root, though not every page or map entry;
 * 2. a dirty entry (changed since the last serialise) or a pending one (serialised, not yet written) is never evicted (I2);
 * 3. the meter's sums are the sums over resident entries.
 */
import { AssertionError } from '../kernel/index.js'
import type { StateBackend } from './backend.js'
import type { CellInspection, HandleInspection, JsonView } from './inspect.js'
import type { KeyWriter } from './keys.js'
import type { EntrySink } from './serialise.js'
import type { UndoLog } from './undo.js'

/** Sums that bound the cache (I6), in estimated bytes of memory. */
export class Meter {
  /** Everything resident. */
  cacheBytes = 0
  /** What cannot be evicted before it is serialised and written. */
  dirtyBytes = 0
  /** Timers, which are never evicted. */
  timerBytes = 0
}

/** What one handle keeps of one key. */
export interface Cell {
  dirty: boolean
  /** Estimated bytes in memory; change it through `resize` only. */
  bytes: number
  /** Adds what changed to the batch; the cell counts as clean afterwards. */
  save(sink: EntrySink): void
  /** Lets go of what can be loaded again. */
  trim?(): void
  /** What an operator would find, without a change to anything (inspect.ts). @throws WeirError BACKEND_FAILED */
  inspect(view: JsonView): Promise<CellInspection>
}

/** A Map slot, the entry, its array of cells and the key's string; measured on Node 20: 166 with a key of 8, Maps half full more. */
const entryBytes = 200

const noCells: readonly Cell[] = []

export class KeyEntry {
  readonly key: string
  readonly group: number
  /** By handle, as long as there are handles (a growing array would take four times the memory). */
  cells: readonly Cell[] = noCells
  dirty = false
  pending = false
  /** Used since the eviction's hand last passed. */
  referenced = true
  bytes: number

  constructor(key: string, group: number) {
    this.key = key
    this.group = group
    this.bytes = entryBytes + key.length
  }
}

/** In the order of the storage keys, but for the order within a group: a comparison of numbers is all that it costs. */
export const byGroup = (a: KeyEntry, b: KeyEntry): number => a.group - b.group

/** The engine's side of a handle. */
export interface HandleCore {
  readonly name: string
  readonly kind: HandleInspection['kind']
  readonly codec: { readonly name: string; readonly version: number }
  /** The cell of a key that has no root. */
  create(entry: KeyEntry): Cell
  /** The cell of a key from its root; `root` may be kept. */
  load(entry: KeyEntry, root: Buffer): Cell
}

/** What the steps of a store share. */
export interface StoreCore {
  readonly backend: StateBackend
  readonly namespace: Uint8Array
  readonly keyGroups: number
  readonly timersPerKeyMax: number
  readonly timersPerStepMax: number
  readonly meter: Meter
  /** Scratch for keys; what it returns lives until the next use, so never across an await. */
  readonly keys: KeyWriter
  /** Event time, ms: objects that expired before it are absent. */
  expiryClock: number
  /** Counts evictions and discards: a read that was under way meanwhile may be stale and is made again. */
  generation: number
  /** Pages that are serialised and not yet written, by cell and id. */
  readonly pendingPages: Map<Cell, Map<string, Buffer>>
}

/** What cells and handles ask of their step. */
export interface StepScope {
  readonly name: string
  readonly core: StoreCore
  readonly undo: UndoLog
  current: KeyEntry | undefined
  markDirty(entry: KeyEntry, cell: Cell): void
  /** Throws the StateMiss that makes the engine call `load` and then the operator again. */
  miss(what: string, load: () => Promise<void>): never
  /** Has `release` called when the running call has ended well. */
  afterCall(release: () => void): void
  /** The store's key writer, at this entry. */
  keysOf(entry: KeyEntry): KeyWriter
}

export function currentEntry(scope: StepScope): KeyEntry {
  return scope.current ?? noKey(scope.name)
}

function noKey(step: string): never {
  throw new AssertionError(`step '${step}' uses state while no key is current`)
}

export function resize(meter: Meter, entry: KeyEntry, cell: Cell, bytes: number): void {
  const by = bytes - cell.bytes
  if (by === 0) return
  cell.bytes = bytes
  entry.bytes += by
  meter.cacheBytes += by
  if (entry.dirty) meter.dirtyBytes += by
}
