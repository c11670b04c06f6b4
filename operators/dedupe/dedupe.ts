/**
 * The dedupe operator: of the records of a key with the same id it lets the first one through, in whatever order they
 * are delivered (A,A and A,B,A), within a horizon of the key's event time.
 *
 * A repeat is dropped and counted as `duplicates`; one with another fingerprint also as `conflicts`.
 * Invariant: a call reads all it needs, then pushes the row, then changes state: a miss or a full output leaves nothing
 * behind.
 */
import { assert, type DurationMs } from '../../kernel/index.js'
import type { PagedState } from '../../state/index.js'
import {
  type OperatorSpec,
  type Row,
  RowFlag,
  type RowOutput,
  type StepContext,
  type StepRuntime,
} from '../contract.js'
import { Hash64 } from '../identity.js'
import { type DedupeIndex, type DedupeSizes, dedupeCodec, defaultDedupeSizes } from './dedupe-index.js'

export interface DedupeOptions<T> {
  readonly idOf: (record: T) => string
  /** What a repeat must have in common with the first: strings or whole numbers, compared by a 64-bit hash. */
  readonly fingerprintOf: readonly ((record: T) => string | number)[]
  /** How long an id is remembered, by the key's event time; a record exactly this far on still meets it. */
  readonly horizon: DurationMs
  /** Repeats are handed on with RowFlag.repeated instead of being dropped; they are counted either way. */
  readonly passRepeats?: boolean
  /** Page sizes; for tests. Part of the stored format. */
  readonly sizes?: DedupeSizes
}

export function dedupe<T>(options: DedupeOptions<T>): OperatorSpec {
  const sizes = options.sizes ?? defaultDedupeSizes
  assert(options.horizon > 0, 'a horizon is above 0')
  const codec = dedupeCodec(options.horizon, sizes, options.fingerprintOf.length)
  return {
    kind: 'dedupe',
    stateful: true,
    passesRows: true,
    features: [],
    parameters: {
      horizonMs: options.horizon,
      fingerprintParts: options.fingerprintOf.length,
      sizes: { ...sizes },
      codec: `${codec.name}@${codec.version}`,
    },
    create: context => new DedupeStep(context, context.state.paged('ids', codec), options),
  }
}

class DedupeStep<T> implements StepRuntime {
  readonly #context: StepContext
  readonly #state: PagedState<DedupeIndex>
  readonly #options: DedupeOptions<T>
  readonly #hash = new Hash64()

  constructor(context: StepContext, state: PagedState<DedupeIndex>, options: DedupeOptions<T>) {
    this.#context = context
    this.#state = state
    this.#options = options
  }

  onRow(row: Row, out: RowOutput): boolean {
    const record = row.value as T
    const id = this.#options.idOf(record)
    const idHash = this.#hash.reset().add(id).low
    const fingerprint = this.#hash.reset()
    for (const part of this.#options.fingerprintOf) {
      const value = part(record)
      if (typeof value === 'string') fingerprint.add(value)
      else fingerprint.addInteger(value)
    }
    const { high, low } = fingerprint
    const index = this.#state.get()
    const first = index.find(id, idHash, row.at)
    if (first !== undefined) {
      const conflicting = first.fingerprintHigh !== high || first.fingerprintLow !== low
      if (this.#options.passRepeats === true) {
        row.flags |= RowFlag.repeated | (conflicting ? RowFlag.conflicting : 0)
        if (!out.push(row)) return false
      }
      this.#context.count('duplicates')
      if (conflicting) this.#context.count('conflicts')
      return true
    }
    index.prepareAdd(idHash)
    if (!out.push(row)) return false
    this.#state.touch()
    const { partition, offset } = row.source
    index.add(id, idHash, high, low, row.at, partition, offset)
    return true
  }
}
