/** Dead letters of a replay: lines of OUTPUT.dead-letter.ndjson, as the contract's Handbook section says. */
import type { AppendRecord } from '../../log/index.js'
import { maskCards } from '../../schemas/avro/index.js'
import type { DeadLetter, DeadLetterFormat } from '../slot/index.js'

const rawBytesMax = 4_096
/** A card number has at most 19 digits and a separator between any two. */
const cardBytesMax = 64

/**
 * Masked before it is cut, so that the cut never bares the beginning of a card number; as Latin-1, where a character is a
 * byte, so that the cut stays at its byte. Invalid UTF-8 becomes U+FFFD last, also where the cut falls into a character.
 */
function rawOf(value: Buffer): string {
  const masked = maskCards(value.subarray(0, rawBytesMax + cardBytesMax).toString('latin1'))
  return Buffer.from(masked, 'latin1').subarray(0, rawBytesMax).toString('utf8')
}

/** @param headerLines physical lines before the first record, so that `line` counts as an editor does */
export function fileDeadLetters(headerLines: number): DeadLetterFormat {
  return {
    topic: 'transactions.dead-letter',
    encode: (letter: DeadLetter): AppendRecord => {
      const line = {
        line: letter.source.offset + headerLines + 1,
        code: letter.code,
        message: letter.message,
        raw: rawOf(letter.value ?? Buffer.alloc(0)),
      }
      return { key: null, value: Buffer.from(JSON.stringify(line)) }
    },
  }
}
