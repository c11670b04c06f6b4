/** `node dist/runners/checkpoints/testing/make-fixtures.js VERSION`: makes the fixtures of a version that has none yet. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assert, repositoryFile } from '../../../kernel/index.js'
import { openDirectoryStore } from '../../../state/index.js'
import { featuresFile, fixturesFolder, makeFixtures } from './fixtures.js'

const [version = ''] = process.argv.slice(2)
assert(/^[\w.-]+$/.test(version), 'a version, such as format-1')
const folder = fixturesFolder(version)
assert(!existsSync(folder), `${folder} is there: what was made is kept`)
mkdirSync(folder)
copyFileSync(repositoryFile('fraud/features/default-features.json'), featuresFile(version))
const spools = mkdtempSync(join(tmpdir(), 'weir-fixtures-'))
const store = await openDirectoryStore(join(folder, 'store'))
const expected = await makeFixtures(version, store, spools)
await store.close()
writeFileSync(join(folder, 'expected.ndjson'), expected.map(one => `${JSON.stringify(one)}\n`).join(''))
rmSync(spools, { recursive: true })
