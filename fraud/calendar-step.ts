/** The step that fills the columns which depend on the transaction alone. */
import type { OperatorSpec } from '../operators/index.js'
import type { Transaction } from '../schemas/avro/index.js'
import { amountInMajorUnits, type FeatureSet, isNight, isWeekend } from './features/index.js'

export function transactionFeatures(set: FeatureSet): OperatorSpec {
  const features = set.features.filter(feature => feature.kind !== 'velocity')
  return {
    kind: 'transaction-features',
    stateful: false,
    passesRows: true,
    features: features.map(feature => feature.name),
    parameters: { features: features.map(({ name, kind }) => ({ name, kind })), timezone: set.timezone },
    create: context => {
      const columns = features.map(({ name, kind }) => ({ column: context.featureColumn(name), kind }))
      return {
        onRow: (row, out) => {
          const transaction = row.value as Transaction
          const features = context.columns(row)
          for (const { column, kind } of columns) {
            if (kind === 'amount') features[column] = amountInMajorUnits(transaction.amount_minor, transaction.currency)
            else features[column] = kind === 'weekend' ? isWeekend(row.at) : isNight(row.at)
          }
          return out.push(row)
        },
      }
    },
  }
}
