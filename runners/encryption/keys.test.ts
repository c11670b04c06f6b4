import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parseSealKeys } from '../../kernel/index.js'
import { loadSealKeys } from './index.js'

const one = '01'.repeat(32)

describe('keys of a deployment', () => {
  let folder: string
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'weir-keys-'))
  })
  after(() => rmSync(folder, { recursive: true }))

  const file = (name: string, text: string, mode: number): string => {
    const path = join(folder, name)
    writeFileSync(path, text)
    chmodSync(path, mode)
    return path
  }

  it('come from the setting, from a file, or there are none', () => {
    const expected = [...parseSealKeys(one, 'x').keys()]
    assert.deepEqual([...loadSealKeys({ keys: one })!.keys()], expected)
    for (const mode of [0o400, 0o600, 0o440]) {
      const keyFile = file(`good-${mode}`, `# a comment\n${one}\n`, mode)
      assert.deepEqual([...loadSealKeys({ keyFile })!.keys()], expected)
    }
    assert.equal(loadSealKeys({}), undefined)
  })

  it('are refused in a file that others may read or its group write', {
    skip: process.platform === 'win32' && 'no modes',
  }, () => {
    for (const mode of [0o644, 0o604, 0o620, 0o602, 0o601]) {
      const keyFile = file('open', one, mode)
      assert.throws(() => loadSealKeys({ keyFile }), { code: 'INVALID_KEYS', message: /chmod 600/ })
    }
  })

  it('are refused where they cannot be read, or it is not clear which ones hold', () => {
    assert.throws(() => loadSealKeys({ keyFile: join(folder, 'none') }), { code: 'INVALID_KEYS', message: /ENOENT/ })
    assert.throws(() => loadSealKeys({ keyFile: folder }), { code: 'INVALID_KEYS' })
    assert.throws(() => loadSealKeys({ keyFile: file('large', 'x'.repeat(70_000), 0o600) }), { code: 'INVALID_KEYS' })
    assert.throws(() => loadSealKeys({ keyFile: file('empty', '', 0o600) }), {
      code: 'INVALID_KEYS',
      message: /no key/,
    })
    assert.throws(() => loadSealKeys({ keys: one, keyFile: file('both', one, 0o600) }), { code: 'INVALID_KEYS' })
  })
})
