import assert from 'node:assert/strict'
import { isWeirError } from '../../kernel/index.js'
import { kafkaMissing, startKafka } from '../../testing/services/index.js'
import { type LogUnderTest, logConformance } from '../conformance/index.js'
import type { KafkaLog, KafkaOptions } from './index.js'
import { type KafkaTests, withKafka } from './kafka-for-tests.js'
import { requestKey } from './request-proxy-for-tests.js'

const source = { missing: await kafkaMissing(), start: () => startKafka({ shared: true }) }

for (const transactions of ['auto', 'v1'] as const) {
  withKafka(`Kafka, transactions ${transactions}`, source, tests =>
    logConformance('log', () => makeLog(tests, { transactions })),
  )
}

async function makeLog(tests: KafkaTests<unknown>, options: Partial<KafkaOptions>): Promise<LogUnderTest> {
  const sameLog = { ...options, prefix: tests.prefix() }
  const opened: KafkaLog[] = []
  const topics: string[] = []
  const open = async (): Promise<KafkaLog> => {
    const log = await tests.open(sameLog)
    opened.push(log)
    return log
  }
  const log = await open()
  const createTopic = log.createTopic.bind(log)
  log.createTopic = async (topic, ...rest) => {
    await createTopic(topic, ...rest)
    topics.push(topic)
  }
  return {
    log,
    producer: log,
    trimmer: log,
    async reopen() {
      const last = opened[opened.length - 1]!
      // What a crashed process has committed shows a moment later, when its markers are written.
      for (const topic of topics) {
        for (let partition = 0; partition < (await last.partitionCount(topic)); partition++) {
          await last.range({ topic, partition })
        }
      }
      await last.close()
      return open()
    },
    async openTransaction(id, appends) {
      const { log: behind, proxy } = await tests.openThroughProxy(sameLog)
      const committer = await behind.committer(id)
      const held = proxy.next(requestKey.endTransaction, 'hold')
      const committing = committer.commit(appends)
      committing.catch(() => {})
      await held
      return {
        async end(how) {
          if (how === 'commit') {
            proxy.release()
            // A newer owner may have been faster.
            await committing.catch(error => assert.ok(isWeirError(error, 'SLOT_FENCED'), `${error}`))
            return
          }
          proxy.cutAll()
          await assert.rejects(committing)
          // What a slot does next: its fencing aborts the transaction.
          await (await behind.committer(id)).close()
        },
      }
    },
    async indefiniteCommit(id, appends) {
      const { log: behind, proxy } = await tests.openThroughProxy(sameLog)
      const committer = await behind.committer(id)
      return {
        async commit() {
          void proxy.next(requestKey.endTransaction, 'cutAfter')
          await committer.commit(appends)
        },
        again: () => committer.commit(appends),
      }
    },
    async dispose() {
      for (const each of opened) await each.close()
    },
  }
}
