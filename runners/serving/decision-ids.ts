/** The ids of a value as on `decisions`, JSON or framed Avro, without decoding the rest of it. */
import { messageOf, WeirError } from '../../kernel/index.js'
import type { RecordBatch } from '../../log/index.js'
import { framingBytes } from '../../schemas/registry/index.js'

export interface DecisionIds {
  readonly transactionId: string
  readonly customerId: string
}

/** Of a decision as Weir writes it, the ids are at its head: reading them alone takes a fifth of parsing it whole. */
const idsAtHead = /^\{"decision_id":"[^"\\]*","transaction_id":"([^"\\]*)","customer_id":"([^"\\]*)"/
const headBytes = 512

/** Of an id, in UTF-16 units: 64 characters. */
const idLengthMax = 128

/** @throws WeirError LOG_CORRUPT for what is no decision */
export function decisionIdsOf(batch: RecordBatch, i: number): DecisionIds {
  const ids = idsOf(batch, i)
  if (Math.max(ids.transactionId.length, ids.customerId.length) > idLengthMax) throw corrupt('its ids are too long')
  return ids
}

function idsOf({ bytes, valueStart, valueEnd }: RecordBatch, i: number): DecisionIds {
  const [start, end] = [valueStart[i]!, valueEnd[i]!]
  if (start < 0) throw corrupt('it is null')
  if (bytes[start] === 0) return idsOfAvro(bytes.subarray(start + framingBytes, end))
  const [, transactionId, customerId] =
    idsAtHead.exec(bytes.toString('utf8', start, Math.min(end, start + headBytes))) ?? []
  if (transactionId !== undefined && customerId !== undefined) return { transactionId, customerId }
  return idsOfJson(bytes.toString('utf8', start, end))
}

function idsOfJson(decision: string): DecisionIds {
  try {
    const { transaction_id, customer_id } = JSON.parse(decision) as Record<string, unknown>
    if (typeof transaction_id === 'string' && typeof customer_id === 'string') {
      return { transactionId: transaction_id, customerId: customer_id }
    }
    throw new Error('it has no ids')
  } catch (error) {
    throw corrupt(messageOf(error), error)
  }
}

/** Fields come in the order of decision.avsc, in which decision_id, transaction_id and customer_id stay the first. */
function idsOfAvro(value: Buffer): DecisionIds {
  let at = 0
  const text = (): string => {
    let length = 0
    for (let shift = 0; ; shift += 7) {
      const byte = value[at++]
      if (byte === undefined || shift > 28) throw corrupt('it ends within its ids')
      length |= (byte & 127) << shift
      if (byte < 128) break
    }
    const start = at
    // Zigzag: a length is never negative, so its lowest bit is 0.
    at += length >>> 1
    if (at > value.length) throw corrupt('it ends within its ids')
    return value.toString('utf8', start, at)
  }
  text()
  return { transactionId: text(), customerId: text() }
}

const corrupt = (why: string, cause?: unknown): WeirError =>
  new WeirError('LOG_CORRUPT', `a record of decisions does not parse: ${why}`, { cause })
