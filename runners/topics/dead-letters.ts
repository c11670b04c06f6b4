/** Dead letters on a topic: the record as received, what was wrong in headers (contract, Topics). */
import type { DeadLetterFormat } from '../slot/index.js'

const header = (name: string, value: string) => ({ name, value: Buffer.from(value) })

export const deadLettersTopic = 'transactions.dead-letter'

/** Says that key and value are null because they could not be had, or are longer than the topic takes. */
export const leftOutHeader = 'weir.left-out'

export const topicDeadLetters: DeadLetterFormat = {
  topic: deadLettersTopic,
  encode: ({ source, code, message, key, value, leftOut }) => ({
    key,
    value,
    headers: [
      header('weir.error.code', code),
      header('weir.error.message', message),
      header('weir.source.topic', source.topic),
      header('weir.source.partition', String(source.partition)),
      header('weir.source.offset', String(source.offset)),
      ...(leftOut ? [header(leftOutHeader, 'true')] : []),
    ],
  }),
}
