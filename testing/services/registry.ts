/** A real schema registry for tests: Apicurio, which speaks the Confluent API, in memory, on the loopback address. */
import { fetchArtifacts, pinnedArtifacts, unpacked } from './artifacts.js'
import { java } from './java.js'
import { missing } from './missing.js'
import { servicePort } from './ports.js'
import { answers, GuardedFolder } from './process.js'
import { askRunner } from './shared.js'

const readyMsMax = 180_000

export interface RegistryForTests {
  /** Base address of the Confluent API, without a slash at the end. */
  readonly url: string
  stop(): Promise<void>
}

export interface RegistryOptions {
  /** The run's common registry, or the one that WEIR_SCHEMA_REGISTRY_URL names. Use subjects of your own. */
  readonly shared?: boolean
}

/**
 * The reason why the registry cannot run here, or undefined: for the `skip` of a test.
 * @throws Error with that reason where WEIR_REQUIRE_SERVICES=1
 */
export async function registryMissing(): Promise<string | undefined> {
  return missing('the schema registry', registryFolder)
}

async function registryFolder(): Promise<string> {
  const [archive] = await fetchArtifacts(pinnedArtifacts('registry'))
  return unpacked(archive!)
}

/** @throws Error when it does not start; where it may be missing ask `registryMissing` first */
export async function startRegistry(options: RegistryOptions = {}): Promise<RegistryForTests> {
  if (options.shared !== true) return startOwn()
  const url = process.env.WEIR_SCHEMA_REGISTRY_URL ?? (await askRunner<string>('registry'))
  return url === undefined ? startOwn() : { url, stop: async () => {} }
}

async function startOwn(): Promise<RegistryForTests> {
  const program = await java()
  const files = await registryFolder()
  const port = await servicePort()
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`
  const folder = await GuardedFolder.create('weir-registry-')
  try {
    await folder.start(
      program,
      ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData'].concat([
        '-cp',
        `${files}/apicurio-registry-app-2.6.13.Final-runner.jar:${files}/lib/*`,
        'io.quarkus.runner.GeneratedMain',
      ]),
      {
        name: 'registry',
        env: { ...process.env, QUARKUS_HTTP_HOST: '127.0.0.1', QUARKUS_HTTP_PORT: String(port) },
        readyMsMax,
        isReady: () => answers(`${url}/subjects`),
      },
    )
  } catch (error) {
    await folder.close()
    throw error
  }
  return { url, stop: () => folder.close() }
}
