/** Java, which the real services run on: found, or installed where WEIR_SETUP_SYSTEM=1 allows system packages. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { installOneOf, mayInstall } from './system-packages.js'

const javaMin = 17
const packages = ['openjdk-17-jre-headless', 'openjdk-21-jre-headless']

const run = promisify(execFile)

const candidates = (): readonly string[] => {
  const home = process.env.JAVA_HOME
  return home === undefined || home === '' ? ['java'] : [join(home, 'bin/java'), 'java']
}

let found: Promise<string> | undefined

/** @returns the program. @throws Error with the reason why there is none */
export function java(): Promise<string> {
  found ??= findOrInstall()
  return found
}

async function findOrInstall(): Promise<string> {
  const before = await newest()
  if (before.version >= javaMin) return before.program
  if (!mayInstall()) {
    const what = before.version === 0 ? 'Java is not installed' : `Java is ${before.version}`
    throw new Error(
      `${what}, ${javaMin} or newer is needed (as root WEIR_SETUP_SYSTEM=1 installs it on Debian and Ubuntu)`,
    )
  }
  await installOneOf(packages)
  const after = await newest()
  if (after.version < javaMin) throw new Error(`${after.program} is not Java ${javaMin} after its installation`)
  return after.program
}

/** Of the programs that may be Java; version 0 where there is none. */
async function newest(): Promise<{ program: string; version: number }> {
  let best = { program: 'java', version: 0 }
  for (const program of candidates()) {
    const version = await versionOf(program)
    if (version > best.version) best = { program, version }
  }
  return best
}

/** The major version, or 0 where there is no such program. */
async function versionOf(program: string): Promise<number> {
  try {
    const { stderr } = await run(program, ['-version'])
    return Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}
