/** Transactions and labels as framed Avro, for what produces single records: the edge and the command line. */
import type { Label, Transaction } from '../avro/types.js'
import { framing } from './framing.js'
import { type SchemaName, schemaText } from './schemas.js'
import { parseSchema } from './writer-schemas.js'

/** @param id of our schema in the registry (subjects.ts) */
export function transactionAvro(id: number): (transaction: Transaction) => Buffer {
  const encode = framedEncoder('transaction', id)
  return transaction => encode({ ...transaction, metadata: Object.fromEntries(transaction.metadata ?? []) })
}

/** @param id of our schema in the registry */
export function labelAvro(id: number): (label: Label) => Buffer {
  return framedEncoder('label', id)
}

function framedEncoder(name: SchemaName, id: number): (record: object) => Buffer {
  const type = parseSchema(schemaText(name))
  const head = framing(id)
  return record => Buffer.concat([head, type.toBuffer(record)])
}
