/** The commands of docs/tutorials/evolve-state.md run, in their order, on what slots of the fraud topology have left. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { repositoryFile } from '../../kernel/index.js'
import { openDirectoryStore } from '../../state/index.js'
import { Fold, fraudTopology, history } from '../checkpoints/testing/fold.js'
import { weir } from '../replay/testing/cli.js'
import { temporaryFolder } from './testing/up.js'

const tutorial = readFileSync(repositoryFile('docs/tutorials/evolve-state.md'), 'utf8')
const commands = [...tutorial.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, text]) => text!.trimEnd().split('\n'))
const npx = 'npx --no-install weir '

/** What a person should see, by what the command begins with. */
const expected: readonly (readonly [command: string, output: RegExp])[] = [
  ['checkpoint savepoint', /^savepoint before-upgrade .* plan 1 of 2 slots, not closed, of epochs \d+, \d+\n$/],
  ['checkpoint list', /^savepoint before-upgrade .* not closed\n$/],
  ['checkpoint verify', /, whole, \d+ operations\n$/],
  ['checkpoint inspect', /"name": "reservoir"/],
  [
    'state get',
    /^step customer, key … \(1\): slot \d, [\s\S]*^kept +in the savepoint before-upgrade$[\s\S]*^ +events +[1-9]/m,
  ],
  ['checkpoint restore', /^restored to worker-1\/slot-0\n$/],
]

describe('docs/tutorials/evolve-state.md', () => {
  const folder = temporaryFolder()
  before(async () => {
    const store = await openDirectoryStore(join(folder, 'checkpoints'))
    const fold = await Fold.start(fraudTopology(), 2, 2, { store, directory: join(folder, 'spools') })
    await fold.send(history(1))
    await fold.close()
    await store.close()
  })

  it('has its commands', () => {
    assert.deepEqual(
      commands.map(command => expected.findIndex(([begins]) => command.startsWith(npx + begins))),
      expected.map((_, i) => i),
    )
  })

  commands.forEach((command, i) => {
    it(command.slice(0, 80), async () => {
      const ended = await weir(command.slice(npx.length).split(' '), { cwd: folder, env: {} })
      assert.equal(ended.code, 0, ended.stderr)
      assert.match(ended.stdout, expected[i]![1])
    })
  })

  it('shows the schemas of the example that it tells of', () => {
    const example = readFileSync(repositoryFile('examples/evolving-state.ts'), 'utf8').replaceAll(/\s+/g, '')
    for (const field of [
      `{ name: 'total', type: 'int' }`,
      `{ name: 'note', type: 'string' }`,
      `{ name: 'total', type: 'long' }`,
      `{ name: 'currency', type: 'string', default: 'EUR' }`,
    ]) {
      assert.ok(tutorial.includes(field) && example.includes(field.replaceAll(/\s+/g, '')), field)
    }
  })
})
