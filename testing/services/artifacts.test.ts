/** Downloads: fetched once, checked, never taken for whole when they are not. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { fetchArtifacts, pinnedArtifacts } from './artifacts.js'

const content = Buffer.alloc(200_000, 'jar')
const sha256 = createHash('sha256').update(content).digest('hex')

/** A repository on the loopback address whose answers `reply` gives, and an empty cache. */
async function repository(t: TestContext, reply: (request: number) => { body: Buffer; promisedBytes?: number }) {
  let requests = 0
  const server = createServer((_, response) => {
    const { body, promisedBytes } = reply(++requests)
    response.writeHead(200, { 'content-length': promisedBytes ?? body.length })
    response.write(body)
    if (promisedBytes === undefined) response.end()
    else setTimeout(() => response.destroy(), 20)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cache = mkdtempSync(join(tmpdir(), 'weir-cache-'))
  const before = { url: process.env.WEIR_MAVEN_URL, cache: process.env.XDG_CACHE_HOME }
  process.env.WEIR_MAVEN_URL = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  process.env.XDG_CACHE_HOME = cache
  t.after(() => {
    server.close()
    rmSync(cache, { recursive: true, force: true })
    restore('WEIR_MAVEN_URL', before.url)
    restore('XDG_CACHE_HOME', before.cache)
  })
  return { requests: () => requests, folder: join(cache, 'weir/maven/a') }
}

function restore(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name]
  else process.env[name] = value
}

describe('artifacts', () => {
  it('are fetched once, also when two ask at the same time', async t => {
    const { requests, folder } = await repository(t, () => ({ body: content }))
    const wanted = [{ sha256, path: 'a/b.jar' }]
    await Promise.all([fetchArtifacts(wanted), fetchArtifacts(wanted)])
    const [file] = await fetchArtifacts(wanted)
    assert.ok(requests() <= 2)
    assert.deepEqual(readFileSync(file!), content)
    assert.deepEqual(readdirSync(folder), ['b.jar'])
  })

  it('are tried again when a download breaks off', async t => {
    const torn = { body: content.subarray(0, 1_000), promisedBytes: content.length }
    const { requests } = await repository(t, n => (n === 1 ? torn : { body: content }))
    const [file] = await fetchArtifacts([{ sha256, path: 'a/b.jar' }])
    assert.equal(requests(), 2)
    assert.deepEqual(readFileSync(file!), content)
  })

  it('are refused, and leave nothing behind, when they are not what was pinned', async t => {
    const { folder } = await repository(t, () => ({ body: Buffer.from('something else') }))
    await assert.rejects(fetchArtifacts([{ sha256, path: 'a/b.jar' }]), (error: Error) => {
      assert.match(error.message, /b\.jar cannot be fetched/)
      assert.match((error.cause as Error).message, /its SHA-256 is/)
      return true
    })
    assert.deepEqual(readdirSync(folder), [])
  })

  it('are pinned by digest and version', () => {
    const all = [...pinnedArtifacts('kafka'), ...pinnedArtifacts('registry')]
    for (const { sha256: digest, path } of all) {
      assert.match(digest, /^[0-9a-f]{64}$/)
      assert.match(path, /^[\w./-]+\.(?:jar|tar\.gz)$/)
    }
    assert.ok(all.length > 50)
  })
})
