/**
 * Simulated customers for `weir up --traffic N`: the generator's transactions, dated now, N a second.
 * They go into the log like any producer's and wait for nobody.
 */
import { type GeneratedTransaction, generate } from '../../fraud/index.js'
import { type Clock, eventTime, isWeirError, millis } from '../../kernel/index.js'
import type { AppendRecord, LogProducer } from '../../log/index.js'
import { encodeTransactionJson, requiredOnly } from '../../schemas/avro/index.js'

const tickMs = millis(50)
/** Pause after the log has refused. */
const refusedMs = millis(1_000)

/** Runs until the signal is aborted. */
export async function playTraffic(
  producer: LogProducer,
  perSecond: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  // Ids differ from run to run, or everything would be a repeat; what is decided depends on the log alone all the same.
  const idPrefix = `sim-${clock.nowMs().toString(36)}-`
  const transactions = generate({ idPrefix, days: 365 })[Symbol.iterator]()
  const startedMs = clock.nowMs()
  let sent = 0
  while (!signal.aborted) {
    const due = Math.floor(((clock.nowMs() - startedMs) * perSecond) / 1_000) - sent
    const records: AppendRecord[] = []
    for (let i = 0; i < Math.min(due, perSecond); i++) {
      const next = transactions.next()
      if (next.done) return
      records.push(toRecord(next.value, clock.nowMs()))
    }
    sent += records.length
    if (records.length > 0) await send(producer, records, clock, signal)
    await clock.sleep(tickMs)
  }
}

/** Tries again while the log refuses: customers do not stop because a disk is full. What came twice is a repeat. */
async function send(
  producer: LogProducer,
  records: readonly AppendRecord[],
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await producer.append([{ topic: 'transactions', partition: 0, records }])
      return
    } catch (error) {
      if (!isWeirError(error, 'LOG_UNAVAILABLE') && !isWeirError(error, 'QUEUE_FULL')) throw error
      await clock.sleep(refusedMs)
    }
  }
}

function toRecord(t: GeneratedTransaction, nowMs: number): AppendRecord {
  const value = encodeTransactionJson(
    requiredOnly({
      transaction_id: t.transactionId,
      event_time: eventTime(nowMs),
      customer_id: t.customerId,
      terminal_id: t.terminalId,
      amount_minor: t.amountMinor,
      currency: 'EUR',
    }),
  )
  return { key: Buffer.from(t.customerId), value }
}
