/** Replays within the test's own process, over small inputs: what came out, parsed. */
import { createHash } from 'node:crypto'
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../../kernel/index.js'
import { shareMemory } from '../../memory/index.js'
import { type ReplayArguments, type ReplaySummary, replay } from '../index.js'

/** The fields of a decision that tests look at, as they stand in the file. */
export interface DecisionLine {
  readonly decision_id: string
  readonly transaction_id: string
  readonly customer_id: string
  readonly event_time: string
  readonly decided_at: string
  readonly outcome: string
  readonly score?: number
  readonly degraded?: string
  readonly features: Readonly<Record<string, number>>
  readonly late: boolean
  readonly source: { readonly topic: string; readonly partition: number; readonly offset: number }
  readonly timings_us: Readonly<Record<string, number>>
}

export interface DeadLetterLine {
  readonly line: number
  readonly code: string
  readonly message: string
  readonly raw: string
}

export interface Result {
  readonly summary: ReplaySummary
  readonly decisions: readonly DecisionLine[]
  readonly deadLetters: readonly DeadLetterLine[]
  readonly bytes: Buffer
  readonly warnings: readonly string[]
}

/** A folder for the files of this process's tests, gone when it ends. */
export const folder = mkdtempSync(join(tmpdir(), 'weir-replay-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

let files = 0

/** A path in the folder that was not given out before. */
export const freshPath = (name: string): string => join(folder, `${files++}-${name}`)

export interface RunOptions extends Partial<ReplayArguments> {
  /** Its ending says what it is. Default input.csv. */
  readonly name?: string
}

/** Writes the content to a file and replays it; without a model unless the options name one. */
export async function replayContent(content: string | Buffer, options: RunOptions = {}): Promise<Result> {
  const { name = 'input.csv', ...rest } = options
  const input = freshPath(name)
  const output = freshPath('out.ndjson')
  writeFileSync(input, content)
  const warnings: string[] = []
  const { summary } = await replay(
    { ...defaultArguments, input, output, ...rest },
    {
      clock: systemClock,
      progress: { update: () => {}, finish: () => {} },
      signal: new AbortController().signal,
      warn: text => warnings.push(text),
    },
  )
  const bytes = readFileSync(output)
  const deadLetters = parseLines<DeadLetterLine>(readFileSync(`${output}.dead-letter.ndjson`))
  for (const path of [input, output, `${output}.dead-letter.ndjson`]) rmSync(path)
  return { summary, decisions: parseLines(bytes), deadLetters, bytes, warnings }
}

export const defaultMemory = shareMemory(512 << 20, { slots: 1, threads: 0 })

const defaultArguments: Omit<ReplayArguments, 'input' | 'output'> = {
  format: 'handbook',
  currency: 'EUR',
  partitions: 1,
  model: 'none',
  rules: undefined,
  features: undefined,
  fresh: false,
  cardKey: 'a key for tests',
  memory: defaultMemory,
  epochRecords: undefined,
}

export function parseLines<T>(bytes: Buffer): T[] {
  const text = bytes.toString('utf8')
  if (text !== '' && !text.endsWith('\n')) throw new Error('the last line has no end')
  return text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line) as T)
}

/** SHA-256 of a file that may be large. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** Lines of a file that may be large. */
export async function lineCountOf(path: string): Promise<number> {
  let lines = 0
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    const bytes = chunk as Buffer
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines++
  }
  return lines
}
