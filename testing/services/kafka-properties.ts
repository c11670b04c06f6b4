/** server.properties of a broker for tests. */
import type { KafkaOptions } from './kafka.js'

export const clusterId = 'AAAAAAAAAAAAAAAAAAAAAQ'

export interface KafkaNode {
  readonly controllerPort: number
  /** By listener. */
  readonly ports: ReadonlyMap<string, number>
}

/** @param node.i index of the node; its node.id is i + 1 */
export function brokerProperties(node: {
  readonly i: number
  readonly nodes: readonly KafkaNode[]
  readonly proxyPort: number | undefined
  readonly logFolder: string
  readonly options: KafkaOptions
}): string {
  const { i, nodes, options } = node
  const { ports, controllerPort } = nodes[i]!
  const copies = String(nodes.length)
  const inSync = nodes.length > 1 ? '2' : '1'
  const protocols = { CONTROLLER: 'PLAINTEXT', PLAINTEXT: 'PLAINTEXT', PROXIED: 'PLAINTEXT', ...options.listeners }
  const addresses = [...ports].map(([name, port]) => `${name}://127.0.0.1:${port}`)
  const advertised = [...ports].map(
    ([name, port]) => `${name}://127.0.0.1:${name === 'PROXIED' ? node.proxyPort : port}`,
  )
  const properties: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': String(i + 1),
    'controller.quorum.voters': nodes.map((each, n) => `${n + 1}@127.0.0.1:${each.controllerPort}`).join(','),
    listeners: [...addresses, `CONTROLLER://127.0.0.1:${controllerPort}`].join(','),
    'advertised.listeners': advertised.join(','),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': Object.entries(protocols)
      .map(([name, protocol]) => `${name}:${protocol}`)
      .join(','),
    'log.dirs': node.logFolder,
    'default.replication.factor': copies,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': copies,
    'offsets.topic.num.partitions': '3',
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': inSync,
    'transaction.state.log.num.partitions': '3',
    'group.initial.rebalance.delay.ms': '0',
    'broker.session.timeout.ms': '4000',
    'broker.heartbeat.interval.ms': '1000',
    // Threads and buffers for a small machine.
    'num.network.threads': '2',
    'num.io.threads': '2',
    'log.segment.bytes': '16777216',
    'log.cleaner.dedupe.buffer.size': '16777216',
    ...options.properties,
  }
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')
}
