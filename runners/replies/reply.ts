/**
 * A record of `decisions.replies`. Its headers name the correlation id and what became of the transaction; its value is the
 * decision as it stands on `decisions`, or null where there is none to send.
 */
import type { AppendRecord, Header, RecordBatch } from '../../log/index.js'

export const repliesTopic = 'decisions.replies'

/** What became of a transaction, once its epoch is committed. */
export type Outcome =
  /** `value` as on `decisions`: JSON or framed Avro. */
  | { readonly kind: 'decided'; readonly value: Buffer }
  | { readonly kind: 'repeated' }
  /** Repeated with another amount, currency or terminal. */
  | { readonly kind: 'conflict' }
  /** It is a dead letter. */
  | { readonly kind: 'rejected'; readonly code: string; readonly message: string }

export interface Reply {
  readonly id: string
  readonly outcome: Outcome
}

const idHeader = 'weir.reply.id'
const kindHeader = 'weir.reply.kind'
const codeHeader = 'weir.error.code'
const messageHeader = 'weir.error.message'

const header = (name: string, value: string): Header => ({ name, value: Buffer.from(value) })

export function encodeReply({ id, outcome }: Reply): AppendRecord {
  const headers = [header(idHeader, id), header(kindHeader, outcome.kind)]
  if (outcome.kind === 'rejected')
    headers.push(header(codeHeader, outcome.code), header(messageHeader, outcome.message))
  return { key: null, value: outcome.kind === 'decided' ? outcome.value : null, headers }
}

/** undefined for what is no reply of ours. */
export function decodeReply(batch: RecordBatch, index: number): Reply | undefined {
  const headers = new Map(
    (batch.headersOf?.(index) ?? []).map(({ name, value }) => [name, Buffer.from(value).toString('utf8')]),
  )
  const id = headers.get(idHeader)
  const outcome = outcomeOf(headers, batch, index)
  return id === undefined || outcome === undefined ? undefined : { id, outcome }
}

function outcomeOf(headers: ReadonlyMap<string, string>, batch: RecordBatch, index: number): Outcome | undefined {
  const kind = headers.get(kindHeader)
  switch (kind) {
    case 'decided': {
      const start = batch.valueStart[index]!
      if (start < 0) return undefined
      return { kind, value: Buffer.from(batch.bytes.subarray(start, batch.valueEnd[index]!)) }
    }
    case 'repeated':
    case 'conflict':
      return { kind }
    case 'rejected':
      return { kind, code: headers.get(codeHeader) ?? '', message: headers.get(messageHeader) ?? '' }
    default:
      return undefined
  }
}
