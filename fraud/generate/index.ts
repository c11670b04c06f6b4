export { handbookCsvHeader, toHandbookCsvLine, toTransactionJsonLine } from './lines.js'
export { customersMax, daysMax, type GenerateOptions, terminalsMax } from './options.js'
export {
  cardCompromisedDays,
  type GeneratedTransaction,
  generate,
  largeAmountMinor,
  terminalCompromisedDays,
} from './simulate.js'
