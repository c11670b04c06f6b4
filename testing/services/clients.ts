/** Kafka clients that are not ours: kcat, Python with librdkafka, Java. Each is found, or set up below the cache, or missing. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder, fetchArtifacts, makeWhole, pinnedArtifacts } from './artifacts.js'
import { java } from './java.js'
import { installOneOf, mayInstall } from './system-packages.js'

const run = promisify(execFile)

const pythonPackages = ['confluent-kafka==2.5.3', 'fastavro==1.13.1', 'requests==2.34.2']

export interface ForeignClients {
  /** Programs. */
  readonly kcat: string
  readonly python: string
  readonly java: string
  /** Kafka's clients and tools, Avro, Jackson. */
  readonly jars: readonly string[]
}

/** @throws Error with the reason why one of them cannot be had */
export async function foreignClients(): Promise<ForeignClients> {
  return { kcat: await kcat(), python: await python(), java: await javaWithCompiler(), jars: await jars() }
}

const jars = (): Promise<readonly string[]> => fetchArtifacts([...pinnedArtifacts('kafka'), ...pinnedArtifacts('avro')])

async function kcat(): Promise<string> {
  return await orInstalled('kcat', ['kcat'], () => whereIs('kcat'))
}

/** Of a virtual environment below the cache. */
async function python(): Promise<string> {
  const place = join(cacheFolder(), `python-${pythonPackages.join('-').replaceAll('==', '-')}`)
  await makeWhole(place, async temporary => {
    await orInstalled('Python 3 with venv', ['python3-venv'], () => run('python3', ['-m', 'venv', temporary]))
    await run(join(temporary, 'bin/python'), [
      '-m',
      'pip',
      'install',
      '-q',
      '--only-binary',
      ':all:',
      ...pythonPackages,
    ])
  })
  return join(place, 'bin/python')
}

/** Java that runs a source file; a JRE has no compiler. */
async function javaWithCompiler(): Promise<string> {
  const program = await java()
  await orInstalled("Java's compiler", ['openjdk-17-jdk-headless', 'openjdk-21-jdk-headless'], async () => {
    const { stdout } = await run(program, ['--list-modules'])
    if (!/^jdk\.compiler@/m.test(stdout)) throw new Error('this is a JRE')
  })
  return whereIs(program)
}

const whereIs = async (program: string): Promise<string> => (await run('which', [program])).stdout.trim()

async function orInstalled<T>(what: string, packages: readonly string[], attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt()
  } catch (error) {
    if (!mayInstall()) {
      const hint = `(as root WEIR_SETUP_SYSTEM=1 installs ${packages[0]} on Debian and Ubuntu)`
      throw new Error(`${what} is missing ${hint}`, { cause: error })
    }
    await installOneOf(packages)
    return await attempt()
  }
}
