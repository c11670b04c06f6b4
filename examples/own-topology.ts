/**
 * A topology with an operator of its own: visits to a shop become sessions. A session ends 30 minutes after the last visit,
 * by event time: a timer says so, not a clock, so a replay over old files finds the same sessions.
 * examples/topology.test.example.ts tests it.
 */
import { eventTime, intCodec, json, minutes, plus, recordOf, stringCodec, toJson, topology } from '../index.js'

export interface Visit {
  readonly visitor: string
  readonly atMs: number
}

export interface Session {
  readonly visitor: string
  readonly visits: number
  readonly fromMs: number
  readonly toMs: number
}

const gap = minutes(30)
const visit = json<Visit>('visit', value => value as Visit)
const session = recordOf<Session>({ visitor: stringCodec, visits: intCodec, fromMs: intCodec, toMs: intCodec })

export const sessions = topology('sessions')
sessions
  .source('visits', visit, { eventTime: v => eventTime(v.atMs), outOfOrderness: minutes(5) })
  .keyBy('by-visitor', v => v.visitor)
  .process('session', {
    state: state => ({ open: state.value('open', session) }),
    create: ({ state, timers }) => ({
      onRecord: ({ visitor, atMs }) => {
        const open = state.open.get() ?? { visitor, visits: 0, fromMs: atMs, toMs: atMs }
        const [fromMs, toMs] = [Math.min(open.fromMs, atMs), Math.max(open.toMs, atMs)]
        timers.cancel(plus(eventTime(open.toMs), gap))
        timers.timerAt(plus(eventTime(toMs), gap))
        state.open.set({ visitor, visits: open.visits + 1, fromMs, toMs })
        return true
      },
      onTimer: (_, out: { emit(value: Session): boolean }) => {
        const open = state.open.get()
        // false: the output is full; Weir calls again, so nothing may be changed before
        if (open === undefined || !out.emit(open)) return open === undefined
        state.open.clear()
        return true
      },
    }),
  })
  .to(
    'sessions',
    toJson<Session>('session', s => s.visitor),
  )
