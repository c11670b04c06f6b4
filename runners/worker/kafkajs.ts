/**
 * kafkajs, without its idle loop: from its first answer on, each of its connections looks for requests that wait every
 * millisecond for as long as it lives (kafkajs 2.2.4, issues 1556 and 1704, still open). That is 3 % of a core and 800
 * wake-ups a second, beside slots whose latency depends on getting a core at once.
 */
import { createRequire } from 'node:module'
import kafkajs from 'kafkajs'
import { assert } from '../../kernel/index.js'

/** As much of kafkajs's queue of requests as is needed here. */
interface RequestQueue {
  readonly pending: readonly unknown[]
  /** Unix ms until which the broker wants to be left alone; -1 before it ever said so. */
  readonly throttledUntil: number
  scheduleCheckPendingRequests(): void
}

const load = createRequire(import.meta.url)
const { prototype: queue } = load('kafkajs/src/network/requestQueue') as { readonly prototype: RequestQueue }
const schedule = queue.scheduleCheckPendingRequests
assert(typeof schedule === 'function', 'kafkajs has its queue of requests where it was')

queue.scheduleCheckPendingRequests = function (this: RequestQueue): void {
  if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this)
}

export const { AssignerProtocol, Kafka, logLevel } = kafkajs
export type { Consumer, KafkaConfig } from 'kafkajs'
