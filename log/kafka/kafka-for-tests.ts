/** What the tests of the Kafka log share: a running Kafka for each file, and logs whose names nobody else has. */
import { after, before, describe } from 'node:test'
import { KafkaLog, type KafkaOptions } from './index.js'
import { RequestProxy } from './request-proxy-for-tests.js'

/** What a test file hands in: it may import from testing/, this file may not. */
export interface KafkaSource<K> {
  /** Why Kafka cannot run here; the tests are then skipped. */
  readonly missing: string | undefined
  start(): Promise<K>
}

export interface KafkaTests<K> {
  readonly kafka: K
  /** A log under a prefix of its own, closed after the file's tests. */
  open(options?: Partial<KafkaOptions>): Promise<KafkaLog>
  /** A log all of whose connections pass a proxy. */
  openThroughProxy(options?: Partial<KafkaOptions>): Promise<{ log: KafkaLog; proxy: RequestProxy }>
  prefix(): string
}

interface Running {
  readonly brokers: readonly string[]
  stop(): Promise<void>
}

let prefixes = 0
/** Brokers outlive a run: names must not come again. */
const run = `t${process.pid}-${Math.floor(performance.timeOrigin).toString(36)}`

export function withKafka<K extends Running>(
  name: string,
  source: KafkaSource<K>,
  define: (tests: KafkaTests<K>) => void,
): void {
  describe(name, { skip: source.missing ?? false }, () => {
    let kafka: K | undefined
    const logs: KafkaLog[] = []
    const proxies: RequestProxy[] = []
    before(async () => {
      kafka = await source.start()
    })
    after(async () => {
      for (const log of logs) await log.close()
      for (const proxy of proxies) await proxy.close()
      await kafka?.stop()
    })
    const tests: KafkaTests<K> = {
      get kafka() {
        if (kafka === undefined) throw new Error('Kafka is not started')
        return kafka
      },
      prefix: () => `${run}-${prefixes++}.`,
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
