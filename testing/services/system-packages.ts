/** System packages, which only WEIR_SETUP_SYSTEM=1 allows to install, as root, on Debian and Ubuntu. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const packageLockSecondsMax = 300

const run = promisify(execFile)

export const mayInstall = (): boolean => process.env.WEIR_SETUP_SYSTEM === '1' && process.getuid?.() === 0

/** Installs the first of the packages that can be had. @throws Error */
export async function installOneOf(packages: readonly string[]): Promise<void> {
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
  throw new Error(`${packages[0]} cannot be installed`, { cause: why })
}
