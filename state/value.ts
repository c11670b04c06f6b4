/** One value a key. */
import { assert, ByteReader } from '../kernel/index.js'
import { type Cell, currentEntry, type HandleCore, type KeyEntry, resize, type StepScope } from './entry.js'
import { checkAccepted, type StateCodec, type ValueState } from './handles.js'
import type { CellInspection, JsonView } from './inspect.js'
import { lengthPrefixed } from './keys.js'
import type { EntrySink } from './serialise.js'
import type { Undoable } from './undo.js'

/** Cell, and a value of unknown shape that takes a few times its encoded bytes. */
const cellBytes = 88
const bytesPerEncoded = 3

export class ValueHandle<V> implements ValueState<V>, HandleCore {
  readonly kind = 'value'
  readonly name: string
  readonly suffix: Buffer
  readonly scope: StepScope
  readonly codec: StateCodec<V>
  readonly #index: number

  constructor(scope: StepScope, index: number, name: string, codec: StateCodec<V>) {
    this.name = name
    this.suffix = lengthPrefixed(name)
    this.scope = scope
    this.codec = codec
    this.#index = index
  }

  get(): V | undefined {
    return this.#cell(currentEntry(this.scope)).value
  }

  set(value: V): void {
    assert(value !== undefined, `state '${this.name}': undefined is no value, use clear`)
    checkAccepted(this.name, this.codec, value)
    this.#change(value)
  }

  clear(): void {
    this.#change(undefined)
  }

  #change(value: V | undefined): void {
    const entry = currentEntry(this.scope)
    const cell = this.#cell(entry)
    this.scope.undo.push(cell, undefined, cell.value)
    cell.value = value
    this.scope.markDirty(entry, cell)
  }

  #cell(entry: KeyEntry): ValueCell<V> {
    return entry.cells[this.#index] as ValueCell<V>
  }

  create(entry: KeyEntry): Cell {
    return new ValueCell(this, entry)
  }

  load(entry: KeyEntry, root: Buffer): Cell {
    const cell = new ValueCell(this, entry)
    cell.value = this.codec.decode(new ByteReader(root))
    cell.bytes = cellBytes + bytesPerEncoded * root.length
    return cell
  }
}

class ValueCell<V> implements Cell, Undoable {
  readonly #handle: ValueHandle<V>
  readonly #entry: KeyEntry
  value: V | undefined = undefined
  dirty = false
  bytes = cellBytes

  constructor(handle: ValueHandle<V>, entry: KeyEntry) {
    this.#handle = handle
    this.#entry = entry
  }

  save(sink: EntrySink): void {
    const { suffix, codec, scope } = this.#handle
    if (this.value === undefined) {
      sink.deleteRoot(suffix)
      resize(scope.core.meter, this.#entry, this, cellBytes)
      return
    }
    const into = sink.scratch()
    codec.encode(this.value, into)
    sink.putRoot(suffix)
    resize(scope.core.meter, this.#entry, this, cellBytes + bytesPerEncoded * into.length)
  }

  restore(_what: unknown, before: unknown): void {
    this.value = before as V | undefined
  }

  async inspect(view: JsonView): Promise<CellInspection> {
    return { present: this.value !== undefined, ...view.render(this.value) }
  }
}
