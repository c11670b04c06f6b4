import { systemClock } from '../../kernel/index.js'
import { WeirClient } from '../client/index.js'
import { numberOf } from '../config/index.js'
import { examine, type Finding } from '../doctor/index.js'
import { addressOf, configOf, kafkaFlags } from './settings.js'
import { parseFlags, type Verb } from './verb.js'

const help = `usage: weir doctor [--json] [flags of weir up]

Checks what \`weir up\` needs, with the same configuration: Node.js, native modules, the model's files, the port, the data
directory (writable, not in use, with space) and the clock; brokers, topics and schema registry where they are configured. One line each: ok, warn or fail, what was found, what to do.
Exit code 1 when something fails. A directory that no process has open is opened for a moment.

  --json              as JSON

example:
  npx --no-install weir doctor --port 9090
`

const answerMsMax = 2_000

export const doctorVerb: Verb = {
  name: 'doctor',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, { ...kafkaFlags, json: { type: 'boolean' } })
    const config = configOf(values)
    const weirAnswers = numberOf(config, 'http.port') !== 0 && (await answers(addressOf(config)))
    const findings: Finding[] = []
    for await (const found of examine({ config, env: process.env, clock: systemClock, weirAnswers })) {
      findings.push(found)
      if (values.json !== true) io.out(line(found))
      if (io.signal.aborted) break
    }
    if (values.json === true) io.out(`${JSON.stringify(findings, null, 2)}\n`)
    return findings.some(found => found.status === 'fail') ? 1 : 0
  },
}

async function answers(url: string): Promise<boolean> {
  const client = new WeirClient({ url })
  try {
    return await client.answers(AbortSignal.timeout(answerMsMax))
  } finally {
    client.close()
  }
}

function line({ status, what, advice }: Finding): string {
  const text = [status.padEnd(4), what, ...(advice === '' ? [] : [advice])].join('  ')
  return `${text.replaceAll(/[\r\n]+/g, ' ')}\n`
}
