/** The commands of docs/tutorial.md run, in their order, in one folder, against Weir as the page starts it. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { repositoryFile } from '../../kernel/index.js'
import { weir } from '../replay/testing/cli.js'
import { launchUp, temporaryFolder, type Up } from './testing/up.js'

const run = promisify(execFile)
const tutorial = readFileSync(repositoryFile('docs/tutorial.md'), 'utf8')
const commands = [...tutorial.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, text]) => text!.trimEnd().split('\n'))
const npx = 'npx --no-install weir '
const start = /^npm start(?: -- (.*))?$/
const hasCurl = spawnSync('curl', ['--version']).status === 0
const notRun: Readonly<Record<string, string>> = { 'npm run setup': 'it made the build that runs this test' }

/** What a person should see, by what the command holds. */
const expected: readonly (readonly [command: string, output: RegExp])[] = [
  ['curl', /"decision_id"/],
  ['weir doctor', /^ok {4}Node\.js/],
  ['weir explain first', /^Transaction first of customer anna was /],
  ['weir explain second', /new-customer-large/],
  ['weir produce', /^decided +[1-9]/m],
  ['weir decisions', /^(\{.*\}\n){3}$/],
  ['weir replay', /^decisions +[1-9]/m],
  ['grep', /^[1-9]\d*\n$/],
]

describe('docs/tutorial.md', () => {
  const folder = temporaryFolder()
  let up: Up | undefined
  after(() => up?.stop())

  it('has its commands', () => {
    for (const [what] of expected)
      assert.ok(
        commands.some(command => command.includes(what)),
        what,
      )
    assert.equal(commands.filter(command => start.test(command)).length, 2)
  })

  for (const command of commands) {
    const skip = notRun[command] ?? (command.startsWith('curl') && !hasCurl ? 'no curl' : false)
    it(command.slice(0, 80), { skip }, async () => {
      const started = start.exec(command)
      if (started !== null) {
        await up?.stop()
        up = await launchUp(started[1]?.split(' ') ?? [], join(folder, '.weir'), folder)
        return
      }
      const port = up === undefined ? '0' : new URL(up.url).port
      let stdout: string
      if (command.startsWith(npx)) {
        const args = command.slice(npx.length).split(' ')
        const ended = await weir(args, { cwd: folder, env: { WEIR_HTTP_PORT: port } })
        assert.equal(ended.code, 0, ended.stderr)
        stdout = ended.stdout
      } else {
        const here = command
          .replace('127.0.0.1:8080', `127.0.0.1:${port}`)
          .replace(' examples/', ` ${repositoryFile('examples')}/`)
        stdout = (await run('sh', ['-c', here], { cwd: folder })).stdout
      }
      for (const [what, output] of expected) if (command.includes(what)) assert.match(stdout, output)
    })
  }
})
