/** A topology that keeps state of every kind and codec that users have, and timers. */
import { eventTime, hours, plus } from '../../../kernel/index.js'
import {
  avroCodec,
  booleanCodec,
  bytesCodec,
  f64Codec,
  intCodec,
  listOf,
  type MapState,
  optional,
  recordOf,
  stringCodec,
  type ValueState,
} from '../../../state/index.js'
import { json, type Topology, toJson, topology } from '../../../topology/index.js'
import type { Sent } from './fold.js'

interface Reading {
  readonly id: string
  readonly n: number
  readonly atMs: number
}

interface Mixed {
  readonly last: string
  readonly mean: number
  readonly even: boolean
  readonly all: readonly number[]
  readonly none: string | null
  readonly raw: Uint8Array
}

const mixed = recordOf<Mixed>({
  last: stringCodec,
  mean: f64Codec,
  even: booleanCodec,
  all: listOf(intCodec),
  none: optional(stringCodec),
  raw: bytesCodec,
})

interface Summary {
  readonly count: number
  readonly recent: readonly { readonly id: string; readonly n: number }[]
  readonly note: string | null
}

const item = {
  type: 'record',
  name: 'Item',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'n', type: 'long' },
  ],
}
const summary = avroCodec<Summary>({
  type: 'record',
  name: 'Summary',
  fields: [
    { name: 'count', type: 'int' },
    { name: 'recent', type: { type: 'array', items: item } },
    { name: 'note', type: ['null', 'string'], default: null },
  ],
})

interface Kept {
  readonly mixed: ValueState<Mixed>
  readonly byId: MapState<number>
  readonly summary: ValueState<Summary>
}

export function kinds(): Topology {
  const app = topology('kinds')
  app
    .source(
      'readings',
      json<Reading>('reading', value => value as Reading),
      { eventTime: r => eventTime(r.atMs) },
    )
    .keyBy('by-id', r => r.id)
    .process<number, Kept>('keeper', {
      state: state => ({
        mixed: state.value('mixed', mixed),
        byId: state.map('by-id', intCodec),
        summary: state.value('summary', summary),
      }),
      create: ({ state, timers }) => ({
        onRecord({ id, n, atMs }, _at, out) {
          const before = state.mixed.get()
          const all = [...(before?.all ?? []), n]
          const kept = state.summary.get()
          if (!out.emit(all.length)) return false
          const mean = all.reduce((sum, each) => sum + each, 0) / all.length
          const none = n % 3 === 0 ? `${n}` : null
          state.mixed.set({ last: id, mean, even: n % 2 === 0, all, none, raw: Uint8Array.of(n, 255) })
          state.byId.set(`sub-${n % 5}`, n)
          const recent = [...(kept?.recent ?? []), { id, n }].slice(-3)
          state.summary.set({ count: all.length, recent, note: none })
          if (n % 4 === 0) timers.timerAt(plus(eventTime(atMs), hours(1_000)))
          return true
        },
      }),
    })
    .to(
      'counts',
      toJson<number>('count', () => ''),
    )
  return app
}

export const readings = (startMs: number): readonly Sent[] =>
  Array.from({ length: 60 }, (_, n) => {
    const [key, atMs] = [`id-${n % 7}`, startMs + hours(8 * n)]
    return { atMs, topic: 'readings', key, value: { id: key, n, atMs } }
  })
