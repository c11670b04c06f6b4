/**
 * A real Kafka for tests: KRaft brokers, each also a controller, on the loopback address, from the jars that
 * `kafka.sha256` pins. State lies in a temporary folder that goes with the test.
 */
import { randomBytes } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder, fetchArtifacts, makeWhole, pinnedArtifacts } from './artifacts.js'
import { foreignClients } from './clients.js'
import { java } from './java.js'
import { brokerProperties, clusterId } from './kafka-properties.js'
import { missing, reasonAgainst } from './missing.js'
import { servicePort } from './ports.js'
import { GuardedFolder, type StartedProcess } from './process.js'
import { type FaultProxy, startProxy } from './proxy.js'
import { askRunner } from './shared.js'

const readyMsMax = 120_000
const toolMsMax = 120_000
const jvm = ['-XX:-UsePerfData', '-Xshare:auto']
/** Starts in half the time, in little memory. */
const quickStart = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xms96m', '-Xmx256m']
/** As Kafka's own start script runs it. */
const asItself = [
  '-Xms1g',
  '-Xmx1g',
  '-XX:+UseG1GC',
  '-XX:MaxGCPauseMillis=20',
  '-XX:InitiatingHeapOccupancyPercent=35',
  '-XX:+ExplicitGCInvokesConcurrent',
  '-XX:MaxInlineLevel=15',
]
const log = '-Dorg.slf4j.simpleLogger.defaultLogLevel'

export interface KafkaOptions {
  readonly brokers?: 1 | 3
  /** With heap, collector and compilers as Kafka's own start script has them. */
  readonly forMeasuring?: boolean
  /** Added to every broker's server.properties. */
  readonly properties?: Readonly<Record<string, string>>
  /**
   * The run's common broker, or the cluster that WEIR_KAFKA_BROKERS names: starts at once, cannot be stopped, and holds other
   * files' topics. Use topics, groups and transactional ids of your own.
   */
  readonly shared?: boolean
  /** Puts a fault proxy before each broker, which advertises it: `brokers` are then the proxies. */
  readonly proxied?: boolean
  /** More listeners, by name, with their protocol: `{ SASL: 'SASL_PLAINTEXT' }`. What they need else goes into `properties`. */
  readonly listeners?: Readonly<Record<string, 'PLAINTEXT' | 'SASL_PLAINTEXT' | 'SSL' | 'SASL_SSL'>>
}

export interface KafkaForTests {
  /** What a client is to be given, `127.0.0.1:PORT` each. */
  readonly brokers: readonly string[]
  /** The same brokers without proxies. */
  readonly direct: readonly string[]
  /** Addresses of a listener of `KafkaOptions.listeners`. */
  listener(name: string): readonly string[]
  /** By broker; empty unless `proxied`. */
  readonly proxies: readonly FaultProxy[]
  /**
   * @param i index in `brokers`; its node.id is i + 1
   * @param signal by default SIGKILL; resolves when the process is gone, for SIGSTOP and SIGCONT at once
   */
  stopBroker(i: number, signal?: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): Promise<void>
  /** On the same ports and the same state. */
  startBroker(i: number): Promise<void>
  /** Runs one of Kafka's tools: `tool('org.apache.kafka.tools.ConsoleProducer', ['--bootstrap-server', …], lines)`. */
  tool(
    className: string,
    args: readonly string[],
    stdin?: string,
    /** A file in the place of `stdout`. */
    stdoutTo?: string,
  ): Promise<{ code: number; stdout: string; stderr: string }>
  stop(): Promise<void>
}

const existingCluster = (): readonly string[] | undefined => process.env.WEIR_KAFKA_BROKERS?.split(',')

/**
 * The reason why Kafka cannot run here, or undefined: for the `skip` of a test.
 * @throws Error with that reason where WEIR_REQUIRE_SERVICES=1
 */
export function kafkaMissing(): Promise<string | undefined> {
  return missing('Kafka', kafkaJars)
}

/** Of the clients that are not ours. */
export const foreignClientsMissing = (): Promise<string | undefined> => reasonAgainst('foreign clients', foreignClients)

const kafkaJars = (): Promise<readonly string[]> => fetchArtifacts(pinnedArtifacts('kafka'))

/** @throws Error when it does not start; where Kafka may be missing ask `kafkaMissing` first */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaForTests> {
  if (options.shared !== true) return startOwn(options)
  const brokers = existingCluster() ?? (await askRunner<readonly string[]>('kafka'))
  return brokers === undefined ? startOwn(options) : joinExisting(brokers)
}

async function joinExisting(brokers: readonly string[]): Promise<KafkaForTests> {
  const folder = await GuardedFolder.create('weir-kafka-tools-')
  const notOurs = async (): Promise<void> => {
    throw new Error('this Kafka is shared with other tests: start one without `shared` to stop its brokers')
  }
  return {
    brokers,
    direct: brokers,
    proxies: [],
    listener: () => [],
    stopBroker: notOurs,
    startBroker: notOurs,
    tool: (className, args, stdin, stdoutTo) => runTool(folder, className, args, stdin, stdoutTo),
    stop: () => folder.close(),
  }
}

async function startOwn(options: KafkaOptions): Promise<KafkaForTests> {
  const program = await java()
  const jars = await kafkaJars()
  const bootstrap = await bootstrapCheckpoint(jars)
  const names = ['PLAINTEXT', ...(options.proxied ? ['PROXIED'] : []), ...Object.keys(options.listeners ?? {})]
  const count = options.brokers ?? 1
  const nodes = await Promise.all(
    Array.from({ length: count }, async () => ({
      controllerPort: await servicePort(),
      ports: new Map(await Promise.all(names.map(async name => [name, await servicePort()] as const))),
    })),
  )
  const proxies = options.proxied
    ? await Promise.all(nodes.map(({ ports }) => startProxy({ host: '127.0.0.1', port: ports.get('PROXIED')! })))
    : []
  const folder = await GuardedFolder.create('weir-kafka-')
  const running: (StartedProcess | undefined)[] = []

  const startBroker = async (i: number): Promise<void> => {
    if (running[i]?.isRunning()) throw new Error(`broker ${i} is running`)
    running[i] = await folder.start(
      program,
      [
        ...jvm,
        ...(options.forMeasuring ? asItself : quickStart),
        `${log}=warn`,
        '-Dorg.slf4j.simpleLogger.log.kafka.server=info',
      ].concat(['-cp', jars.join(':'), 'kafka.Kafka', join(folder.path, String(i), 'server.properties')]),
      {
        name: `broker-${i}`,
        readyMsMax,
        isReady: output => output.includes('Kafka Server started'),
      },
    )
  }
  const stop = async (): Promise<void> => {
    await Promise.all(proxies.map(proxy => proxy.close()))
    await folder.close()
  }
  try {
    for (const i of nodes.keys()) {
      const logFolder = join(folder.path, String(i), 'log')
      mkdirSync(logFolder, { recursive: true })
      copyFileSync(bootstrap, join(logFolder, 'bootstrap.checkpoint'))
      const id = randomBytes(16).toString('base64url')
      writeFileSync(
        join(logFolder, 'meta.properties'),
        `version=1\ncluster.id=${clusterId}\nnode.id=${i + 1}\ndirectory.id=${id}\n`,
      )
      const properties = brokerProperties({ i, nodes, proxyPort: proxies[i]?.port, logFolder, options })
      writeFileSync(join(folder.path, String(i), 'server.properties'), properties)
    }
    await Promise.all(nodes.map((_, i) => startBroker(i)))
  } catch (error) {
    await stop()
    throw error
  }
  const listener = (name: string): readonly string[] => nodes.map(({ ports }) => `127.0.0.1:${ports.get(name)}`)
  return {
    brokers: options.proxied ? proxies.map(proxy => proxy.address) : listener('PLAINTEXT'),
    direct: listener('PLAINTEXT'),
    proxies,
    listener,
    stopBroker: async (i, signal = 'SIGKILL') => running[i]?.signal(signal),
    startBroker,
    tool: (className, args, stdin, stdoutTo) => runTool(folder, className, args, stdin, stdoutTo),
    stop,
  }
}

async function runTool(
  folder: GuardedFolder,
  className: string,
  args: readonly string[],
  stdin = '',
  stdoutTo?: string,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const jars = await kafkaJars()
  const command = [...jvm, ...quickStart, '-Xmx128m', `${log}=error`, '-cp', jars.join(':'), className, ...args]
  return folder.run(await java(), command, { stdin, msMax: toolMsMax, ...(stdoutTo !== undefined && { stdoutTo }) })
}

/**
 * The features with which Kafka's own tool formats a new cluster (KIP-890's transactions among them): the same for all
 * nodes, so made once and kept, because the tool takes a second or two.
 */
async function bootstrapCheckpoint(jars: readonly string[]): Promise<string> {
  const version = /\/kafka_2\.13\/([^/]+)\//.exec(jars.join(':'))?.[1]
  const place = join(cacheFolder(), `kafka-${version}`, 'bootstrap.checkpoint')
  if (existsSync(place)) return place
  const folder = await GuardedFolder.create('weir-kafka-format-')
  try {
    const logFolder = join(folder.path, 'log')
    const properties = join(folder.path, 'server.properties')
    const nodes = [{ controllerPort: 1, ports: new Map([['PLAINTEXT', 2]]) }]
    writeFileSync(properties, brokerProperties({ i: 0, nodes, proxyPort: undefined, logFolder, options: {} }))
    const { code, stderr } = await folder.run(
      await java(),
      [...jvm, '-cp', jars.join(':'), 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties],
      { stdin: '', msMax: toolMsMax },
    )
    if (code !== 0) throw new Error(`formatting failed: ${stderr}`)
    await makeWhole(place, async temporary => copyFileSync(join(logFolder, 'bootstrap.checkpoint'), temporary))
  } finally {
    await folder.close()
  }
  return place
}
