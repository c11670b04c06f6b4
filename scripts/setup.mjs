/**
 * Set-up: installs dependencies and builds dist/ when either is missing or stale. Needs nothing but Node.js and npm.
 * `node scripts/setup.mjs [--quiet]`: --quiet prints only when there is work to do, and failures.
 *
 * Invariants:
 * 1. A stamp is written after the work that it vouches for and removed before that work starts, so that an interrupted
 *    run is never taken for a finished one. node_modules/.weir-setup holds what was installed, dist/.weir-setup what was built.
 * 2. After a run that succeeded, every .ts file has its output in dist/ and every output its .ts file.
 * 3. One set-up at a time works on a checkout; others wait for it and then find nothing to do.
 * Everything it writes lies below the checkout (and npm's own cache).
 */
import './node-version.mjs'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, realpathSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { takeLock } from './lock.mjs'
import { runChild, stopChildrenOnSignals } from './processes.mjs'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

const at = path => join(root, path)
const installStamp = at('node_modules/.weir-setup')
const buildStamp = at('dist/.weir-setup')
const notOurs = new Set(['node_modules', 'dist'])
const stillRunningMs = 10_000

/** What one line on the terminal can say; anything else that is thrown is a bug of this script. */
export class SetupError extends Error {}

/** @returns whether there was work to do. @throws SetupError */
export async function setup({ quiet = false } = {}) {
  const say = line => console.error(`setup: ${line}`)
  if (isInstalled() && isBuilt()) {
    if (!quiet) say('up to date')
    return false
  }
  const { release, noteChild } = await lock(say)
  try {
    if (!isInstalled()) await install(say, noteChild)
    if (!isBuilt()) await build(say, noteChild)
  } finally {
    release()
  }
  return true
}

async function lock(say) {
  try {
    return await takeLock(at('.build/setup.lock'), owner => say(`waiting for another set-up (process ${owner ?? '?'})`))
  } catch (error) {
    throw new SetupError(`SETUP_FAILED: cannot write below ${root} (${error.code}); check permissions and free space`)
  }
}

// dependencies

/** What an installation depends on: the lock file, what package.json asks for, and the platform of native packages. */
function lockHash() {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(at('package.json'), 'utf8'))
  const wanted = JSON.stringify([process.platform, process.arch, dependencies, devDependencies])
  return sha256([wanted, readFileSync(at('package-lock.json'))])
}

const isInstalled = () => readIfThere(installStamp) === lockHash()

async function install(say, onStart) {
  say(existsSync(at('node_modules')) ? 'dependencies are stale or incomplete, installing' : 'installing dependencies')
  rmSync(installStamp, { force: true })
  const hash = lockHash()
  const startedMs = Date.now()
  const progress = setInterval(() => say(`still installing, ${seconds(startedMs)} s`), stillRunningMs)
  const npm = process.env.npm_execpath?.endsWith('.js') ? [process.execPath, process.env.npm_execpath] : ['npm']
  const options = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error']
  let result
  try {
    result = await runChild([...npm, ...options], { cwd: root, onStart })
  } finally {
    clearInterval(progress)
  }
  if (result.code !== 0) throw new SetupError(explainNpm(result))
  const missing = missingPackages()
  if (missing.length > 0) {
    throw new SetupError(`SETUP_FAILED: npm ci left out ${missing.join(', ')}; check free space and run it again`)
  }
  writeStamp(installStamp, hash)
  say(`dependencies installed, ${seconds(startedMs)} s`)
}

/** Packages of the lock file that are not there. npm ends with code 0 when one that it takes for optional fails. */
function missingPackages() {
  const { packages } = JSON.parse(readFileSync(at('package-lock.json'), 'utf8'))
  const isMeant = ({ optional, os, cpu, libc }) =>
    optional !== true || (os?.includes(process.platform) && cpu?.includes(process.arch) && libc === undefined)
  return Object.keys(packages).filter(
    path => path !== '' && isMeant(packages[path]) && !existsSync(at(`${path}/package.json`)),
  )
}

/** One line on why `npm ci` failed, after npm's own words where we know no better. */
function explainNpm({ code, error, output }) {
  if (error?.code === 'ENOENT') return 'SETUP_FAILED: npm is not on the PATH; install it (it comes with Node.js)'
  if (error) return `SETUP_FAILED: npm cannot be run (${error.code}); check the installation of Node.js`
  if (/ENOSPC/.test(output)) return 'SETUP_FAILED: the disk is full; free about 600 MB and run it again'
  if (/EACCES|EPERM|EROFS/.test(output)) {
    return `SETUP_FAILED: npm may not write below ${root} or in its cache; check permissions`
  }
  if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|ENETUNREACH/.test(output)) {
    return 'SETUP_FAILED: the npm registry cannot be reached; check the network (npm config get registry) and run it again'
  }
  if (/EUSAGE|can only install packages when/.test(output)) {
    return 'SETUP_FAILED: package.json and package-lock.json disagree; run npm install and commit both'
  }
  if (/EINTEGRITY/.test(output)) {
    return 'SETUP_FAILED: a package differs from package-lock.json; run npm cache verify and run it again'
  }
  return `${output.trimEnd()}\nSETUP_FAILED: npm ci ended with code ${code}; mend what npm names above and run it again`
}

// build

function isBuilt() {
  if (readIfThere(buildStamp) !== sourceHash()) return false
  return sources().every(path => existsSync(outputOf(path)))
}

async function build(say, onStart) {
  say(existsSync(buildStamp) ? 'sources have changed, building' : 'building')
  // tsc's own record of what it emitted is wrong once an output was deleted or a build interrupted: always build whole.
  rmSync(at('dist/.tsbuildinfo'), { force: true })
  rmSync(buildStamp, { force: true })
  const hash = sourceHash()
  const startedMs = Date.now()
  const { code, error, output } = await runChild(
    [process.execPath, at('node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json'],
    { cwd: root, onStart },
  )
  if (error)
    throw new SetupError(
      `SETUP_FAILED: the compiler cannot be run (${error.code}); delete node_modules and run it again`,
    )
  if (/ENOSPC|no space left/i.test(output))
    throw new SetupError('SETUP_FAILED: the disk is full; free some space and run it again')
  if (code !== 0) {
    throw new SetupError(
      `${output.trimEnd()}\nBUILD_FAILED: the sources do not compile; mend the errors above and run it again`,
    )
  }
  removeOrphans(at('dist'))
  writeStamp(buildStamp, hash)
  say(`built, ${seconds(startedMs)} s`)
}

/** Every .ts file that tsc compiles, relative to the root, sorted. As in its globs, dot folders are left out. */
function sources() {
  const found = []
  const walk = folder => {
    for (const entry of readdirSync(at(folder), { withFileTypes: true })) {
      if (entry.name.startsWith('.') || (folder === '' && notOurs.has(entry.name))) continue
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory() && entry.name !== 'node_modules') walk(path)
      else if (entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts')) found.push(path)
    }
  }
  walk('')
  return found.sort()
}

const outputOf = path => at(`dist/${path.slice(0, -'.ts'.length)}.js`)

function sourceHash() {
  const parts = [lockHash(), readFileSync(at('tsconfig.json'))]
  for (const path of sources()) parts.push(path, readFileSync(at(path)))
  return sha256(parts)
}

/** Removes the outputs whose source is gone, so that deleted tests do not keep running, and folders left empty. */
function removeOrphans(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      removeOrphans(path)
      if (readdirSync(path).length === 0) rmdirSync(path)
      continue
    }
    const output = /^(.*)\.(?:js|d\.ts)(?:\.map)?$/.exec(relative(at('dist'), path))
    if (output !== null && !existsSync(at(`${output[1]}.ts`))) rmSync(path)
  }
}

// helpers

/** SHA-256 over the parts and their lengths. */
function sha256(parts) {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${part.length}\n`).update(part)
  return hash.digest('hex')
}

function readIfThere(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

function writeStamp(path, hash) {
  try {
    writeFileSync(path, hash)
  } catch (error) {
    throw new SetupError(`SETUP_FAILED: cannot write ${path} (${error.code}); check permissions and free space`)
  }
}

const seconds = sinceMs => ((Date.now() - sinceMs) / 1_000).toFixed(1)

/** `setup` as a command: its errors are a line on standard error and exit code 1. */
export async function runSetup(options) {
  stopChildrenOnSignals()
  try {
    await setup(options)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    console.error(error.message)
    process.exitCode = 1
  }
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await runSetup({ quiet: process.argv.includes('--quiet') })
}
