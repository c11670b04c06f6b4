/**
 * State that outlives its code: what the first version of an operator kept, the second one reads, by Avro's rules. `total` is a long
 * where it was an int, `note` is gone, and `currency` is new. docs/tutorials/evolve-state.md tells how such a change goes live.
 */
import { avroCodec, type OperatorSpec, process, type ValueState } from '../index.js'

export interface Purchase {
  readonly customer: string
  readonly cents: number
}

interface SpentV1 {
  readonly total: number
  readonly note: string
}

interface Spent {
  readonly total: number
  readonly currency: string
}

const spentV1 = avroCodec<SpentV1>({
  type: 'record',
  name: 'Spent',
  fields: [
    { name: 'total', type: 'int' },
    { name: 'note', type: 'string' },
  ],
})

const spent = avroCodec<Spent>({
  type: 'record',
  name: 'Spent',
  fields: [
    { name: 'total', type: 'long' },
    { name: 'currency', type: 'string', default: 'EUR' },
  ],
})

/** As it was. */
export const spendingV1 = (): OperatorSpec =>
  process<Purchase, number, ValueState<SpentV1>>({
    state: state => state.value('spent', spentV1),
    create: ({ state }) => ({
      onRecord: ({ cents }, _at, out) => {
        const total = (state.get()?.total ?? 0) + cents
        if (!out.emit(total)) return false
        state.set({ total, note: 'seen' })
        return true
      },
    }),
  })

/** As it is: amounts beyond an int, and a currency. */
export const spending = (): OperatorSpec =>
  process<Purchase, string, ValueState<Spent>>({
    state: state => state.value('spent', spent),
    create: ({ state }) => ({
      onRecord: ({ cents }, _at, out) => {
        const { total, currency } = state.get() ?? { total: 0, currency: 'EUR' }
        if (!out.emit(`${total + cents} ${currency}`)) return false
        state.set({ total: total + cents, currency })
        return true
      },
    }),
  })
