/**
 * How rows that travel through other slots get their order back.
 *
 * Where rows leave their home, `number` gives them consecutive sequence numbers, one series for each home partition. Every
 * slot on the way accounts for each number that it got (`answer`): with the row, with several, or by saying that none is
 * left. Back at home, `resequence` lets rows go in the order of their numbers.
 *
 * Invariants: 1. each number comes back, exactly once as done with: a filter, an exclusion after an exception (I7) or a
 * join on the way cannot block those behind it; 2. what waits lies in ordinary state, so that recovery, write-back and
 * checkpoints see it; 3. a call pushes before it changes what it cannot take back.
 *
 * Counters: sequenced, resequenced; their difference is what is under way (I6: `inFlightRowsMax`).
 */
import { assert } from '../../kernel/index.js'
import { intCodec, type MapState, type StateCodec, type ValueState } from '../../state/index.js'
import { type HopTag, type OperatorSpec, type Row, type RowOutput, readAt, type StepContext } from '../contract.js'
import { decodeRow, encodeRow, type RowFormat } from './record.js'

/** A record is at home where it was processed first: in its own partition, or in the one that it was re-keyed to. */
const homeOf = (row: Row): number => row.hop?.home ?? row.source.partition

const spec = (kind: string, create: OperatorSpec['create']): OperatorSpec => ({
  kind,
  stateful: false,
  passesRows: true,
  features: [],
  parameters: {},
  create,
})

/** Numbers rows that leave, in the order in which they do. */
export function number(): OperatorSpec {
  return {
    ...spec('number', context => {
      const next = context.state.value('next', intCodec)
      return {
        onRow: (row, out) => {
          // Nobody waits for what a timer made.
          if (row.source.offset < 0) return out.push(row)
          const sequence = next.get() ?? 0
          // A row of its own: another branch may hand on the one that came.
          const leaving = context.derive(row, row.value)
          leaving.hop = { read: readAt(row), home: homeOf(row), sequence, port: 0, part: 'last' }
          if (!out.push(leaving)) return false
          next.set(sequence + 1)
          context.count('sequenced')
          return true
        },
      }
    }),
    stateful: true,
    keyOfRow: row => String(homeOf(row)),
    parameters: { state: `${intCodec.name}@${intCodec.version}` },
  }
}

/**
 * Accounts for every number that came in. Port 0: what the steps of this slot made of the rows; port 1: the rows as they
 * were read, each behind what was made of it.
 * @param several what to do with a second row of one record: hand it on, or refuse it because two rows of one record would
 *   part ways before they are put in order
 */
export function answer(several: 'pass' | 'refuse'): OperatorSpec {
  return {
    ...spec('answer', context => {
      let made: Row | undefined
      return {
        onRow: (row, out, port) => {
          const tag = row.hop
          if (tag === null || tag.sequence < 0) return port === 1 || out.push(row)
          if (port === 0) {
            if (made !== undefined) {
              if (several === 'refuse') throw new Error('several rows of one record leave for different slots')
              if (!push(context, out, made, 'more')) return false
            }
            made = row
            return true
          }
          assert(
            made === undefined || made.hop?.sequence === tag.sequence,
            'what was made of a row is directly before it',
          )
          // What had several parts is done with the last of them.
          if (!push(context, out, made ?? row, made === undefined ? 'skip' : 'last')) return false
          made = undefined
          return true
        },
      }
    }),
    parameters: { several },
  }
}

function push(context: StepContext, out: RowOutput, row: Row, part: HopTag['part']): boolean {
  if (row.hop?.part === part) return out.push(row)
  const pushed = context.derive(row, part === 'skip' ? undefined : row.value)
  pushed.hop = { ...row.hop!, part }
  return out.push(pushed)
}

/** What came too early of one number. */
interface Held {
  readonly rows: readonly Row[]
  readonly done: boolean
}

/**
 * Lets rows go in the order of their numbers; what comes too early waits.
 * @param topic where they are read, each home's in the partition of that number
 */
export function resequence(topic: string, format: RowFormat): OperatorSpec {
  const codec = heldCodec(topic, format)
  return {
    ...spec('resequence', context => {
      const next = context.state.value('next', intCodec)
      const waiting = context.state.value('waiting', intCodec)
      const held = context.state.map('held', codec)
      return new Resequencer(context, next, waiting, held)
    }),
    stateful: true,
    passesRows: false,
    keyOfRow: row => String(homeOf(row)),
    holdsRows: true,
    parameters: { codec: `${codec.name}@${codec.version}` },
  }
}

class Resequencer {
  readonly #context: StepContext
  readonly #next: ValueState<number>
  /** How many numbers are held: without any, nothing is looked up. */
  readonly #waiting: ValueState<number>
  readonly #held: MapState<Held>
  #row: Row | undefined
  /** Rows that the call for #row has got out, over all its attempts; how many of them this attempt has passed. */
  #sent = 0
  #passed = 0

  constructor(context: StepContext, next: ValueState<number>, waiting: ValueState<number>, held: MapState<Held>) {
    this.#context = context
    this.#next = next
    this.#waiting = waiting
    this.#held = held
  }

  onRow(row: Row, out: RowOutput): boolean {
    const { sequence, part } = row.hop!
    if (sequence < 0) return out.push(row)
    if (this.#row !== row) this.#sent = 0
    this.#row = row
    this.#passed = 0
    const next = this.#next.get() ?? 0
    assert(sequence >= next, `number ${sequence} is done with, ${next} is due`)
    if (sequence > next) {
      this.#hold(row)
      return true
    }
    if (part !== 'skip' && !this.#letGo(row, out)) return false
    if (part === 'more') return true
    return this.#letFollow(sequence + 1, out)
  }

  #hold(row: Row): void {
    const { sequence, part } = row.hop!
    const before = this.#held.get(String(sequence))
    const rows = before?.rows ?? []
    this.#held.set(String(sequence), { rows: part === 'skip' ? rows : [...rows, row], done: part !== 'more' })
    if (before === undefined) this.#waiting.set((this.#waiting.get() ?? 0) + 1)
  }

  /** Everything that waited for `first - 1`. */
  #letFollow(first: number, out: RowOutput): boolean {
    let next = first
    let waiting = this.#waiting.get() ?? 0
    while (waiting > 0) {
      const held = this.#held.get(String(next))
      if (held === undefined) break
      for (const row of held.rows) if (!this.#letGo(row, out)) return false
      this.#held.delete(String(next))
      waiting--
      // The rest of it is still under way.
      if (!held.done) break
      next++
    }
    this.#next.set(next)
    this.#waiting.set(waiting)
    this.#context.count('resequenced', next - (first - 1))
    return true
  }

  /** A row that waited takes the place, in the epoch's order, of the one that it waited for. */
  #letGo(row: Row, out: RowOutput): boolean {
    if (this.#passed < this.#sent) {
      this.#passed++
      return true
    }
    const released = this.#context.derive(row, row.value)
    released.ordinal = this.#row!.ordinal
    if (!out.push(released)) return false
    this.#passed++
    this.#sent++
    return true
  }
}

function heldCodec(topic: string, format: RowFormat): StateCodec<Held> {
  const values = format.codecs.map(codec => `${codec.name}@${codec.version}`)
  return {
    name: `held<${values.join(',')}>`,
    version: 1,
    encode: ({ rows, done }, into) => {
      into.u8(done ? 1 : 0)
      into.varint(rows.length)
      for (const row of rows) {
        into.varint(readAt(row).offset)
        encodeRow(row, row.hop!, format, into)
      }
    },
    decode: from => {
      const done = from.u8() === 1
      const rows: Row[] = []
      for (let left = from.varint(); left > 0; left--) {
        const offset = from.varint()
        const row = decodeRow(from, { topic, partition: 0, offset }, format, 0)
        const hop = row.hop!
        rows.push({ ...row, hop: { ...hop, read: { topic, partition: hop.home, offset } } })
      }
      return { rows, done }
    },
  }
}
