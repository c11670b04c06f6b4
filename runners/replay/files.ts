/** What a replay reads and writes, by the names of its files. */
import { WeirError } from '../../kernel/index.js'

export type FileKind = 'csv' | 'ndjson'

/** By the name of the file. @throws WeirError INPUT_UNREADABLE */
export function fileKind(path: string): FileKind {
  if (/\.(ndjson|jsonl)(\.gz)?$/i.test(path)) return 'ndjson'
  if (/\.csv(\.gz)?$/i.test(path)) return 'csv'
  throw new WeirError('INPUT_UNREADABLE', `${path} ends in none of .csv, .csv.gz, .ndjson, .ndjson.gz`)
}

/** Where the dead letters of an output go. */
export const deadLetterPathOf = (output: string): string => `${output}.dead-letter.ndjson`

/** Journal, state and lock of a replay that is not finished. */
export const workFolderOf = (output: string): string => `${output}.replay`
