/** What the tests of the Kafka log share: one Kafka for each file, and logs whose names nobody else has. */
import { after, before, describe } from 'node:test'
import { type KafkaForTests, kafkaMissing, startKafka } from '../../testing/services/kafka.js'
import { KafkaLog, type KafkaOptions } from './index.js'
import { RequestProxy } from './request-proxy-for-tests.js'

export interface KafkaTests {
  /** Undefined where Kafka cannot run; the tests are then skipped. */
  readonly kafka: KafkaForTests
  /** A log under a prefix of its own, closed after the file's tests. */
  open(options?: Partial<KafkaOptions>): Promise<KafkaLog>
  /** A log whose connections all pass a proxy, under the given prefix or its own. */
  openThroughProxy(options?: Partial<KafkaOptions>): Promise<{ log: KafkaLog; proxy: RequestProxy }>
  prefix(): string
}

let prefixes = 0

/** Registers `define`'s tests against a real Kafka of so many brokers. */
export function withKafka(
  name: string,
  options: { readonly brokers?: 1 | 3 },
  define: (tests: KafkaTests) => void,
  missing: string | undefined,
): void {
  describe(name, { skip: missing ?? false }, () => {
    let kafka: KafkaForTests | undefined
    const logs: KafkaLog[] = []
    const proxies: RequestProxy[] = []
    before(async () => {
      kafka = await startKafka(options)
    })
    after(async () => {
      for (const log of logs) await log.close()
      for (const proxy of proxies) await proxy.close()
      await kafka?.stop()
    })
    const tests: KafkaTests = {
      get kafka() {
        if (kafka === undefined) throw new Error('Kafka is not started')
        return kafka
      },
      prefix: () => `t${process.pid}-${process.hrtime.bigint().toString(36)}-${prefixes++}.`,
      async open(changes = {}) {
        const log = await KafkaLog.open({ brokers: tests.kafka.brokers, prefix: tests.prefix(), ...changes })
        logs.push(log)
        return log
      },
      async openThroughProxy(changes = {}) {
        const proxy = await RequestProxy.before(tests.kafka.brokers)
        proxies.push(proxy)
        return { proxy, log: await tests.open({ addressOf: proxy.addressOf, ...changes }) }
      },
    }
    define(tests)
  })
}

export const missing = await kafkaMissing()
