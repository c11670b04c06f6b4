/** Both bindings of RocksDB run the conformance suite; one that has no binary here is skipped, and says so. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { backendConformance } from './conformance.js'
import { type Binding, openRocksDb, whyNot } from './open.js'

const directories: string[] = []
async function directory(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'weir-rocksdb-'))
  directories.push(made)
  return made
}
after(async () => {
  for (const made of directories) await rm(made, { recursive: true })
})

for (const binding of ['rocksdb', 'rocksdb-native'] as const satisfies readonly Binding[]) {
  const missing = whyNot(binding)
  describe(`state in RocksDB through ${binding}`, { skip: missing ?? false }, () => {
    const open = (at: string) => openRocksDb(at, {}, binding)

    backendConformance(async () => {
      const at = join(await directory(), 'not', 'there', 'yet')
      return { backend: await open(at), reopen: () => open(at) }
    })

    it('a path that is no directory is BACKEND_FAILED', async () => {
      const file = join(await directory(), 'file')
      await writeFile(file, 'x')
      await assert.rejects(open(file), { code: 'BACKEND_FAILED' })
    })

    it('close waits for what is under way', async () => {
      const backend = await open(await directory())
      const batch = backend.batch()
      for (let i = 0; i < 1_000; i++) batch.put(Buffer.from(`key ${i}`), Buffer.alloc(100))
      const writing = backend.write(batch, { sync: true })
      const reading = backend.getMany([Buffer.from('key 1')])
      await backend.close()
      await Promise.all([writing, reading])
    })

    it('what is written is with the operating system before write resolves: a crash of the process loses nothing', async () => {
      const at = await directory()
      const backend = await open(at)
      const batch = backend.batch()
      batch.put(Buffer.from('key'), Buffer.from('a value to look for'))
      await backend.write(batch, { sync: false })
      const logs = (await readdir(at)).filter(name => name.endsWith('.log'))
      const contents = await Promise.all(logs.map(name => readFile(join(at, name))))
      assert.ok(Buffer.concat(contents).includes('a value to look for'))
      await backend.close()
    })

    it('is opened again through the binding that wrote it', async () => {
      const at = await directory()
      await (await open(at)).close()
      const other = binding === 'rocksdb' ? 'rocksdb-native' : 'rocksdb'
      const again = await openRocksDb(at, {}, other)
      const batch = again.batch()
      batch.put(Buffer.from('a'), Buffer.from('b'))
      await again.write(batch, { sync: false })
      await again.close()
      assert.equal((await readFile(join(at, 'BINDING'), 'utf8')).trim(), binding)
      const last = await open(at)
      assert.equal((await last.getMany([Buffer.from('a')]))[0]?.toString(), 'b')
      await last.close()
    })

    it('tells its memory', async () => {
      const backend = await open(await directory())
      const batch = backend.batch()
      for (let i = 0; i < 10_000; i++) batch.put(Buffer.from(`key ${i}`), Buffer.alloc(100, i))
      await backend.write(batch, { sync: false })
      backend.memory?.()
      await backend.getMany([Buffer.from('key 1')])
      assert.ok((backend.memory?.().write_buffers ?? 0) > 1_000_000)
      await backend.close()
    })
  })
}

it('a directory of a binding that is not known is STATE_FORMAT', async () => {
  const at = await directory()
  await (await openRocksDb(at)).close()
  await writeFile(join(at, 'BINDING'), 'another\n')
  await assert.rejects(openRocksDb(at), { code: 'STATE_FORMAT' })
  // Not a name: the file is damaged, and whoever can build the database again may.
  await writeFile(join(at, 'BINDING'), Buffer.from([0x72, 0x6f, 0xff, 0xff]))
  await assert.rejects(openRocksDb(at), { code: 'BACKEND_FAILED', message: /BINDING is damaged/ })
})
