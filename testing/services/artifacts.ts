/**
 * Files from Maven Central, kept in the user's cache directory (`$XDG_CACHE_HOME/weir`, by default `~/.cache/weir`) for all
 * checkouts. What is wanted is pinned by `NAME.sha256` beside this file, in the form that `sha256sum -c` reads: digest and
 * path in the repository. `WEIR_MAVEN_URL` names a mirror.
 *
 * Invariant: a file or folder stands at its place only when it is whole. It is written under another name, checked, synced
 * and then renamed; of two processes that fetch the same thing at once, the one that comes later changes nothing.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { mkdtemp, open } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { repositoryFile } from '../../kernel/index.js'

const downloadsAtOnce = 6
const attemptsMax = 3
const downloadMsMax = 300_000

const run = promisify(execFile)

export const cacheFolder = (): string => join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'weir')

export interface Artifact {
  readonly sha256: string
  /** In a Maven repository: `org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar`. */
  readonly path: string
}

/** @param name `kafka` or `registry` */
export function pinnedArtifacts(name: string): readonly Artifact[] {
  const lines = readFileSync(repositoryFile(`testing/services/${name}.sha256`), 'utf8')
    .trim()
    .split('\n')
  return lines.map(line => ({ sha256: line.slice(0, 64), path: line.slice(66) }))
}

/**
 * Fetches what is not there yet.
 * @returns absolute paths, in the order of the list
 * @throws Error naming the file, when it cannot be had or is not what was pinned
 */
export async function fetchArtifacts(artifacts: readonly Artifact[]): Promise<readonly string[]> {
  const placed = artifacts.map(artifact => ({ ...artifact, file: join(cacheFolder(), 'maven', artifact.path) }))
  const missing = placed.filter(({ file }) => !existsSync(file))
  const fetchNext = async (): Promise<void> => {
    for (let next = missing.shift(); next !== undefined; next = missing.shift()) await fetchOne(next, next.file)
  }
  await Promise.all(Array.from({ length: downloadsAtOnce }, fetchNext))
  return placed.map(({ file }) => file)
}

async function fetchOne(artifact: Artifact, file: string): Promise<void> {
  const url = `${process.env.WEIR_MAVEN_URL || 'https://repo1.maven.org/maven2'}/${artifact.path}`
  for (let attempt = 1; ; attempt++) {
    try {
      return await makeWhole(file, async temporary => download(url, artifact.sha256, temporary))
    } catch (error) {
      if (attempt === attemptsMax) throw new Error(`${basename(file)} cannot be fetched`, { cause: error })
      await new Promise(resolve => setTimeout(resolve, 500 * attempt))
    }
  }
}

async function download(url: string, sha256: string, file: string): Promise<void> {
  const reply = await fetch(url, { signal: AbortSignal.timeout(downloadMsMax) })
  if (!reply.ok || reply.body === null) throw new Error(`status ${reply.status}`)
  const hash = createHash('sha256')
  const handle = await open(file, 'wx')
  try {
    for await (const chunk of reply.body) {
      hash.update(chunk)
      await handle.writeFile(chunk)
    }
    const found = hash.digest('hex')
    if (found !== sha256) throw new Error(`its SHA-256 is ${found}, not ${sha256}`)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Unpacks a .tar.gz once. @returns the folder */
export async function unpacked(archive: string): Promise<string> {
  const folder = join(cacheFolder(), 'unpacked', basename(archive, '.tar.gz'))
  await makeWhole(folder, async temporary => {
    mkdirSync(temporary)
    await run('tar', ['xzf', archive, '-C', temporary])
  })
  return folder
}

/**
 * Has `make` write a file or folder under another name and then moves it to `place`, unless it is there already.
 * @param make creates the path that it is given, which lies in a folder of its own
 */
export async function makeWhole(place: string, make: (temporary: string) => Promise<void>): Promise<void> {
  if (existsSync(place)) return
  mkdirSync(dirname(place), { recursive: true })
  const around = await mkdtemp(`${place}.part-`)
  try {
    const temporary = join(around, basename(place))
    await make(temporary)
    if (!existsSync(place)) renameSync(temporary, place)
  } catch (error) {
    // Another process has put the same folder there between the look and the rename.
    if (!existsSync(place)) throw error
  } finally {
    rmSync(around, { recursive: true, force: true })
  }
}
