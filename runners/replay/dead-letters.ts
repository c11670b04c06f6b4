/** Dead letters of a replay: lines of OUTPUT.dead-letter.ndjson, as the contract's Handbook section says. */
import type { AppendRecord } from '../../log/index.js'
import { maskCards } from '../../schemas/avro/index.js'
import type { DeadLetter, DeadLetterFormat } from '../slot/index.js'

const rawBytesMax = 4_096

/** @param headerLines physical lines before the first record, so that `line` counts as an editor does */
export function fileDeadLetters(headerLines: number): DeadLetterFormat {
  return {
    topic: 'transactions.dead-letter',
    encode: (letter: DeadLetter): AppendRecord => {
      const line = {
        line: letter.source.offset + headerLines + 1,
        code: letter.code,
        message: letter.message,
        // Invalid UTF-8 becomes U+FFFD here, also where the cut falls into a character.
        raw: maskCards((letter.value ?? Buffer.alloc(0)).subarray(0, rawBytesMax).toString('utf8')),
      }
      return { key: null, value: Buffer.from(JSON.stringify(line)) }
    },
  }
}
