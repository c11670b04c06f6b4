/** Java, which the real services run on: found, or installed where WEIR_SETUP_SYSTEM=1 allows system packages. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const javaMin = 17
const packages = ['openjdk-17-jre-headless', 'openjdk-21-jre-headless']
const packageLockSecondsMax = 300

const run = promisify(execFile)

const javaProgram = (): string => (process.env.JAVA_HOME ? join(process.env.JAVA_HOME, 'bin/java') : 'java')

let found: Promise<string> | undefined

/** @returns the program. @throws Error with the reason why there is none */
export function java(): Promise<string> {
  found ??= findOrInstall()
  return found
}

async function findOrInstall(): Promise<string> {
  const program = javaProgram()
  const version = await versionOf(program)
  if (version !== undefined && version >= javaMin) return program
  if (process.env.WEIR_SETUP_SYSTEM !== '1' || process.getuid?.() !== 0) {
    const what = version === undefined ? 'Java is not installed' : `Java is ${version}`
    throw new Error(
      `${what}, ${javaMin} or newer is needed (as root WEIR_SETUP_SYSTEM=1 installs it on Debian and Ubuntu)`,
    )
  }
  await install()
  const installed = await versionOf(program)
  if (installed === undefined || installed < javaMin)
    throw new Error(`${program} is not Java ${javaMin} after its installation`)
  return program
}

/** The major version, or undefined where there is no such program. */
async function versionOf(program: string): Promise<number | undefined> {
  try {
    const { stderr } = await run(program, ['-version'])
    return Number(/version "(\d+)/.exec(stderr)?.[1])
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function install(): Promise<void> {
  const options = ['-o', `DPkg::Lock::Timeout=${packageLockSecondsMax}`, '-y', '-q']
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  await run('apt-get', ['update', '-q'], { env })
  let why: unknown
  for (const name of packages) {
    try {
      await run('apt-get', ['install', ...options, '--no-install-recommends', name], { env })
      return
    } catch (error) {
      why ??= error
    }
  }
  throw new Error('Java cannot be installed', { cause: why })
}
