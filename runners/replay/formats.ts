/** Input formats of a replay: a decoder of lines, as a source format that counts blank lines. */
import type { ArrivedTransaction, RecordDecoder } from '../../schemas/avro/index.js'
import { handbookCsv, handbookNdjson, isBlankLine, transactionCsv, transactionJson } from '../../schemas/avro/index.js'
import type { SourceFormat } from '../../topology/index.js'
import type { ReplayArguments } from './job.js'

type FormatArguments = Pick<ReplayArguments, 'format' | 'currency' | 'cardKey'>

/**
 * @param header the first line; undefined for files without one
 * @throws WeirError INPUT_UNREADABLE when a column is missing
 */
export function inputFormat(args: FormatArguments, header: string | undefined): SourceFormat<ArrivedTransaction> {
  return withBlankLines(`${args.format}-${header === undefined ? 'ndjson' : 'csv'}`, decoderOf(args, header))
}

function decoderOf(args: FormatArguments, header: string | undefined): RecordDecoder<ArrivedTransaction> {
  if (args.format === 'handbook') {
    const options = { currency: args.currency }
    return header === undefined ? handbookNdjson(options) : handbookCsv(header, options)
  }
  const options = { cardKey: args.cardKey }
  return header === undefined ? transactionJson(options) : transactionCsv(header, options)
}

function withBlankLines<T>(name: string, decoder: RecordDecoder<T>): SourceFormat<T> {
  return {
    name,
    decode: (bytes, start, end) => (isBlankLine(bytes, start, end) ? null : decoder.decode(bytes, start, end)),
  }
}
