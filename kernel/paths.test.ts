import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { test } from 'node:test'
import { repositoryFile } from './paths.js'

test('a repository file is found from the build folder', () => {
  const path = repositoryFile('package.json')
  assert.ok(isAbsolute(path))
  assert.equal((JSON.parse(readFileSync(path, 'utf8')) as { name: string }).name, 'weir')
})
