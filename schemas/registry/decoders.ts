/**
 * Values of the topics as records, one by one Avro or JSON: the first byte says which. Both end in the same raw fields and
 * the same checks, so the same transaction gives the same record in either form.
 */
import type avro from 'avsc'
import { messageOf } from '../../kernel/index.js'
import { Kind, type RawFields, type RawReader, rawFields } from '../avro/raw-fields.js'
import { type RecordDecoder, RecordError, recordBytesMax, tooLarge } from '../avro/record-error.js'
import {
  labelFrom,
  labelJson,
  labelNames,
  type TransactionOptions,
  transactionFrom,
  transactionJson,
  transactionNames,
} from '../avro/transaction.js'
import type { ArrivedTransaction, Label } from '../avro/types.js'
import { Cursor } from './cursor.js'
import { framingBytes, isFramed, schemaIdOf } from './framing.js'
import { type ReadPlan, readPlan } from './plan.js'
import { schemaText } from './schemas.js'
import { parseSchema, type WriterSchema, type WriterSchemas } from './writer-schemas.js'

/**
 * Values of `transactions`.
 * @param schemas undefined where no registry is configured; framed values are then dead letters
 */
export function transactionValues(
  options: TransactionOptions & { readonly schemas: WriterSchemas | undefined },
): RecordDecoder<ArrivedTransaction> {
  const { schemas } = options
  const reader = schemas && new AvroReader(schemas, parseSchema(schemaText('transaction')), transactionNames)
  return new ValueDecoder(transactionJson(options), reader && transactionFrom(reader, options))
}

/** Values of `labels`. */
export function labelValues(schemas: WriterSchemas | undefined): RecordDecoder<Label> {
  const reader = schemas && new AvroReader(schemas, parseSchema(schemaText('label')), labelNames)
  return new ValueDecoder(labelJson(), reader && labelFrom(reader))
}

class ValueDecoder<T> implements RecordDecoder<T> {
  readonly #json: RecordDecoder<T>
  readonly #avro: RecordDecoder<T> | undefined

  constructor(json: RecordDecoder<T>, avroDecoder: RecordDecoder<T> | undefined) {
    this.#json = json
    this.#avro = avroDecoder
  }

  get unknownFields(): number {
    return this.#json.unknownFields + (this.#avro?.unknownFields ?? 0)
  }

  decode(bytes: Buffer, start: number, end: number): T | RecordError {
    if (start === end || !isFramed(bytes, start)) return this.#json.decode(bytes, start, end)
    if (this.#avro !== undefined) return this.#avro.decode(bytes, start, end)
    return new RecordError('UNKNOWN_SCHEMA', 'the record is Avro and no schema registry is configured')
  }
}

/** Fills raw fields from a framed Avro record. */
class AvroReader implements RawReader {
  readonly fields: RawFields
  unknownFields = 0
  readonly #schemas: WriterSchemas
  readonly #type: avro.Type
  readonly #names: readonly string[]
  readonly #cursor = new Cursor()
  readonly #plans = new WeakMap<WriterSchema, ReadPlan | RecordError>()

  constructor(schemas: WriterSchemas, type: avro.Type, names: readonly string[]) {
    this.#schemas = schemas
    this.#type = type
    this.#names = names
    this.fields = rawFields(names.length)
  }

  read(bytes: Buffer, start: number, end: number): RecordError | undefined {
    if (end - start > recordBytesMax) return tooLarge(end - start)
    if (end - start < framingBytes) return new RecordError('MALFORMED_RECORD', 'the record ends within its framing')
    const id = schemaIdOf(bytes, start)
    const plan = this.#planOf(id, this.#schemas.get(id))
    if (plan instanceof RecordError) return plan
    const cursor = this.#cursor
    cursor.reset(bytes, start + framingBytes, end)
    this.fields.kinds.fill(Kind.absent)
    const { steps } = plan
    for (let i = 0; i < steps.length; i++) {
      steps[i]!(cursor, this.fields)
      if (cursor.broken) return new RecordError('MALFORMED_RECORD', `the record is no Avro of schema ${id}`)
    }
    if (cursor.at !== end) return new RecordError('MALFORMED_RECORD', `something follows the Avro of schema ${id}`)
    if (cursor.badText) return new RecordError('INVALID_ENCODING', 'the record is not valid UTF-8')
    this.unknownFields += plan.unknownFields
    return undefined
  }

  #planOf(id: number, schema: WriterSchema): ReadPlan | RecordError {
    let plan = this.#plans.get(schema)
    if (plan === undefined) {
      plan = this.#makePlan(id, schema)
      this.#plans.set(schema, plan)
    }
    return plan
  }

  #makePlan(id: number, schema: WriterSchema): ReadPlan | RecordError {
    if (schema.kind === 'unreadable') return new RecordError(schema.code, schema.why)
    try {
      return readPlan(schema.type, this.#type, this.#names)
    } catch (error) {
      return new RecordError('INCOMPATIBLE_SCHEMA', `schema ${id} cannot be read as ours: ${messageOf(error)}`)
    }
  }
}
