import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeFolders } from './index.js'

test('makes what is missing, again and again', t => {
  const root = mkdtempSync(join(tmpdir(), 'weir-folders-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  const path = join(root, 'a', 'b', 'c')
  makeFolders(path)
  makeFolders(path)
  assert.ok(statSync(path).isDirectory())
})

test('below a file it fails, with the reason', t => {
  const root = mkdtempSync(join(tmpdir(), 'weir-folders-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  writeFileSync(join(root, 'file'), '')
  assert.throws(() => makeFolders(join(root, 'file', 'below')), { code: 'ENOTDIR' })
})

test('where nothing can be made it fails instead of trying for ever', {
  skip: !existsSync('/proc/self') && 'no /proc',
}, () => {
  assert.throws(() => makeFolders('/proc/weir-cannot-be-here/at-all'), { code: 'ENOENT' })
})
