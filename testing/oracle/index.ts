export type { Arrival, Expected, LabelArrival, TransactionArrival } from './arrivals.js'
export { naiveOracle } from './naive.js'
export { sortedOracle } from './sorted.js'
