/** What Weir needs of the machine: Node.js, native modules, a port. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../../kernel/index.js'
import { openRocksDb } from '../../state/index.js'
import { fail, ok, type Verdict } from './check.js'

/** As scripts/node-version.mjs has it: 20.19 and later of 20, 22.2 and later, not 21. */
export function checkNode(version: string): Verdict {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const usable = (major === 20 && minor >= 19) || (major === 22 && minor >= 2) || major >= 23
  return usable ? ok(`Node.js ${version}`) : fail(`Node.js ${version}`, 'install Node.js 20.19 or newer')
}

const reinstall = 'remove node_modules and run npm run setup; see which platforms have binaries in docs/architecture.md'

/** Opens, writes and reads: the native part is loaded only then. */
export async function checkRocksDb(): Promise<Verdict> {
  const directory = await mkdtemp(join(tmpdir(), 'weir-doctor-'))
  try {
    const backend = await openRocksDb(join(directory, 'db'))
    try {
      const key = Buffer.from('key')
      const batch = backend.batch()
      batch.put(key, key)
      await backend.write(batch, { sync: true })
      const [read] = await backend.getMany([key])
      return read?.equals(key) ? ok('rocksdb writes and reads') : fail('rocksdb does not read what it wrote', reinstall)
    } finally {
      await backend.close()
    }
  } catch (error) {
    return fail(`rocksdb does not work: ${messageOf(error)}`, reinstall)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** @param weirAnswers somebody listens, and it is a Weir */
export async function checkPort(host: string, port: number, weirAnswers: boolean): Promise<Verdict> {
  if (weirAnswers) return ok(`a Weir answers on ${host}:${port}`)
  const code = await new Promise<string | undefined>(resolve => {
    const server = createServer()
    server.once('error', error => resolve((error as NodeJS.ErrnoException).code ?? messageOf(error)))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
  if (code === undefined) return ok(port === 0 ? 'any free port will be taken' : `${host}:${port} is free`)
  if (code === 'EADDRINUSE') {
    return fail(`another program has ${host}:${port}`, 'stop it, or choose another --port (WEIR_HTTP_PORT)')
  }
  if (code === 'EACCES') return fail(`no permission for port ${port}`, 'choose a --port of 1024 or more')
  return fail(`cannot listen on ${host}:${port} (${code})`, 'choose another --host (WEIR_HTTP_HOST)')
}
