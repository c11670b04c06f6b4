/**
 * The process step of the simulated topology: counts a customer's payments (value state) by terminal (map state), and
 * reports and forgets the terminals when the customer has been quiet for an hour (timers).
 *
 * It changes state before it emits, so a full output in between shows whether the engine takes the change back; it throws
 * on some values, and on a state (a terminal used too often), so that what is excluded depends on what came before.
 */
import { type EventTimeMs, hours, plus } from '../../kernel/index.js'
import type { ProcessSpec } from '../../operators/index.js'
import { intCodec, type MapState, stringCodec, type ValueState } from '../../state/index.js'
import type { Payment } from './records.js'

export const quietAfter = hours(1)
/** Uses of one terminal between two reports; the next one throws. */
export const usesMax = 6
export const seenReset = 6

export type Alert =
  | { readonly kind: 'seen'; readonly who: string; readonly id: string; readonly n: number; readonly uses: number }
  | { readonly kind: 'third'; readonly who: string; readonly terminals: readonly (readonly [string, number])[] }
  | {
      readonly kind: 'quiet'
      readonly who: string
      readonly at: number
      readonly n: number
      readonly terminals: readonly (readonly [string, number])[]
    }
  | { readonly kind: 'watermark'; readonly who: string; readonly at: number }

interface WatchState {
  readonly who: ValueState<string>
  readonly n: ValueState<number>
  readonly due: ValueState<number>
  readonly terminals: MapState<number>
}

export const watch: ProcessSpec<Payment, Alert, WatchState> = {
  state: factory => ({
    who: factory.value('who', stringCodec),
    n: factory.value('n', intCodec),
    due: factory.value('due', intCodec),
    terminals: factory.map('terminals', intCodec),
  }),
  create: ({ state, timers }) => ({
    onRecord(payment, at, out) {
      if (payment.trap === 'watch') throw new Error('a trap')
      const n = (state.n.get() ?? 0) + 1
      state.n.set(n)
      state.who.set(payment.customer_id)
      const uses = (state.terminals.get(payment.terminal_id) ?? 0) + 1
      if (uses > usesMax) throw new Error(`terminal used ${uses} times`)
      state.terminals.set(payment.terminal_id, uses)
      const due = state.due.get()
      const next = plus(at, quietAfter)
      if (due === undefined || next > due) {
        if (due !== undefined) timers.cancel(due as EventTimeMs)
        timers.timerAt(next)
        state.due.set(next)
      }
      const who = payment.customer_id
      if (!out.emit({ kind: 'seen', who, id: payment.transaction_id, n, uses })) return false
      return n % 3 !== 0 || out.emit({ kind: 'third', who, terminals: state.terminals.entries() })
    },
    onTimer(at, out) {
      const n = state.n.get() ?? 0
      const terminals = state.terminals.entries()
      if (!out.emit({ kind: 'quiet', who: state.who.get() ?? '', at, n, terminals })) return false
      for (const [terminal] of terminals) state.terminals.delete(terminal)
      state.due.clear()
      // One more look, which finds no terminals and is the last.
      if (terminals.length > 1) {
        const again = plus(at, quietAfter)
        timers.timerAt(again)
        state.due.set(again)
      }
      if (n >= seenReset) state.n.clear()
      return true
    },
    onWatermark: (to, out) => out.emit({ kind: 'watermark', who: 'watermark', at: to }),
  }),
}
