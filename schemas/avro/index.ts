export { cardTokeniser, maskCards, passesLuhn } from './cards.js'
export { labelCodec, transactionCodec } from './compact.js'
export { currencyDecimals } from './currency.js'
export { encodeLabelJson, encodeTransactionJson } from './encode.js'
export { amountMinorMax, eventTimeMsMax, idCharactersMax } from './fields.js'
export { type HandbookOptions, handbookCsv, handbookNdjson } from './handbook.js'
export { knownLabel } from './known-label.js'
export { isBlankLine } from './lines.js'
export { type RecordDecoder, RecordError, recordBytesMax } from './record-error.js'
export { type RequiredFields, requiredOnly } from './required-only.js'
export { labelJson, type TransactionOptions, transactionCsv, transactionJson } from './transaction.js'
export type {
  ArrivedTransaction,
  Decision,
  DecisionConfig,
  Label,
  LabelValue,
  ModelScore,
  Outcome,
  OutcomeSource,
  ReasonCode,
  RiskLevel,
  RuleHit,
  Transaction,
} from './types.js'
