/** The README says what is: its example is the file, and its commands run, in their order, in one folder. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { repositoryFile } from '../../kernel/index.js'
import { kafkaMissing, startKafka } from '../services/index.js'

const readme = readFileSync(repositoryFile('README.md'), 'utf8')

/** Commands that are not run here, each with its reason. */
const notRun: Readonly<Record<string, string>> = {
  'npm run setup': 'it made the build that runs this test',
  'npm test': 'it runs this test',
  'npm start -- --traffic 200': 'it does not end by itself; the tests of examples and tutorial run weir up',
  'npx --no-install weir worker --data-dir .weir-worker':
    'it does not end by itself; runners/worker/worker.test.ts runs it',
}

/** What `npx --no-install weir` runs in a clone. */
const weir = 'npx --no-install weir '
const script = repositoryFile('scripts/weir.mjs')

const brokersAre = 'export WEIR_KAFKA_BROKERS='
const needsKafka = (command: string): boolean => command.startsWith(`${weir}topics `)
const noKafka = (await kafkaMissing()) ?? false
/** Of the commands; topics of this run's own, since the broker may be others' too. */
const env: NodeJS.ProcessEnv = { ...process.env, WEIR_TOPIC_PREFIX: `readme-${process.pid}.` }

interface Block {
  readonly language: string
  readonly text: string
}

function blocks(text: string): Block[] {
  return [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(match => ({ language: match[1]!, text: match[2]! }))
}

describe('README.md', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-readme-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const commands = blocks(readme)
    .filter(block => block.language === 'sh')
    .flatMap(block => block.text.split('\n'))
    .filter(line => line !== '' && !line.startsWith('#'))

  it('has commands, and every exception is one of them', () => {
    assert.ok(commands.length >= 4, commands.join('\n'))
    for (const command of Object.keys(notRun)) assert.ok(commands.includes(command), `${command} is not in the README`)
  })

  for (const command of commands) {
    if (command.startsWith(brokersAre)) {
      it(`with a broker in the place of ${command.slice(brokersAre.length)}`, { skip: noKafka }, async () => {
        const kafka = await startKafka({ shared: true })
        after(() => kafka.stop())
        env.WEIR_KAFKA_BROKERS = kafka.brokers.join(',')
      })
      continue
    }
    const skip = notRun[command] ?? (needsKafka(command) && noKafka)
    it(command, { skip }, () => {
      assert.ok(command.startsWith(weir), 'a command that this test can run begins with npx --no-install weir')
      const args = command.slice(weir.length).split(/ +/)
      assert.ok(
        args.every(arg => /^[\w./:=-]+$/.test(arg)),
        'plain words only: no shell is needed',
      )
      // fails the test when the exit code is not 0
      const out = execFileSync(process.execPath, [script, ...args], {
        cwd: folder,
        env,
        encoding: 'utf8',
        stdio: 'pipe',
      })
      assert.notEqual(out, '')
      const output = args.indexOf('--output')
      if (output >= 0) assert.ok(existsSync(join(folder, args[output + 1]!)), 'it wrote its output')
    })
  }

  it('shows its example exactly as it is compiled', () => {
    const marks = [...readme.matchAll(/<!-- example: (\S+) -->\n([\s\S]*?)(?=\n## |$(?![\s\S]))/g)]
    assert.ok(marks.length > 0, 'the README has an example')
    for (const [, path, rest] of marks) {
      const shown = blocks(rest!)[0]
      assert.equal(shown?.language, 'ts', `a ts block follows the mark of ${path}`)
      assert.equal(shown?.text, readFileSync(repositoryFile(path!), 'utf8'))
    }
  })
})
