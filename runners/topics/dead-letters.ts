/** Dead letters on a topic: the record as received, what was wrong in headers (contract, Topics). */
import type { DeadLetterFormat } from '../slot/index.js'

const header = (name: string, value: string) => ({ name, value: Buffer.from(value) })

export const deadLettersTopic = 'transactions.dead-letter'

export const topicDeadLetters: DeadLetterFormat = {
  topic: deadLettersTopic,
  encode: ({ source, code, message, key, value }) => ({
    key,
    value,
    headers: [
      header('weir.error.code', code),
      header('weir.error.message', message),
      header('weir.source.topic', source.topic),
      header('weir.source.partition', String(source.partition)),
      header('weir.source.offset', String(source.offset)),
    ],
  }),
}
