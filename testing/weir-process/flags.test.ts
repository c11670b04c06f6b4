/** Every way to start Weir gives node the same flags. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { it } from 'node:test'
import { repositoryFile } from '../../kernel/index.js'
import { weirScript } from './index.js'

const textOf = (path: string): string => readFileSync(repositoryFile(path), 'utf8')

it('`npm start` and the Dockerfile give node the flags of the weir command', () => {
  const flags = weirScript.slice(0, -1)
  assert.ok(flags.length > 0 && flags.every(flag => flag.startsWith('--')), flags.join(' '))
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: { start: string } }
  assert.equal(scripts.start, `node ${flags.join(' ')} scripts/start.mjs`)
  assert.ok(
    textOf('Dockerfile').includes(
      `ENTRYPOINT ${JSON.stringify(['node', ...flags, 'scripts/weir.mjs']).replaceAll(',', ', ')}`,
    ),
  )
})
