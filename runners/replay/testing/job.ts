/** A generated Handbook file, and replays of it as commands that tests interrupt. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { generate, handbookCsvHeader, toHandbookCsvLine } from '../../../fraud/index.js'
import { type Ended, type Running, startWeir, weir } from './cli.js'
import { freshPath } from './run.js'

/** Writes simulated transactions, with some repeated and some malformed lines among them. @returns the path */
export function generatedInput(seed: number, transactionsMax: number): string {
  const lines = [handbookCsvHeader]
  for (const t of generate({ seed, customers: 200, terminals: 100, days: 90 })) {
    if (lines.length > transactionsMax) break
    lines.push(toHandbookCsvLine(t))
    if (lines.length % 50 === 0) lines.push(lines[lines.length - 20]!)
    if (lines.length % 70 === 0) lines.push('malformed', '')
  }
  const path = freshPath('generated.csv')
  writeFileSync(path, `${lines.join('\n')}\n`)
  return path
}

/** One command that is given again and again. */
export class ReplayJob {
  readonly input: string
  readonly output: string
  readonly #more: readonly string[]

  constructor(input: string, output: string, more: readonly string[] = []) {
    this.input = input
    this.output = output
    this.#more = more
  }

  get args(): string[] {
    const { input, output } = this
    return ['replay', '--format', 'handbook', '--input', input, '--output', output, '--json', ...this.#more]
  }

  get deadLetters(): string {
    return `${this.output}.dead-letter.ndjson`
  }

  get workFolder(): string {
    return `${this.output}.replay`
  }

  get unfinished(): boolean {
    return existsSync(this.workFolder)
  }

  start(): Running {
    return startWeir(this.args)
  }

  run(...more: string[]): Promise<Ended> {
    return weir([...this.args, ...more])
  }

  bytes(): { readonly decisions: Buffer; readonly deadLetters: Buffer } {
    return { decisions: readFileSync(this.output), deadLetters: readFileSync(this.deadLetters) }
  }

  remove(): void {
    for (const path of [this.output, this.deadLetters, this.workFolder]) rmSync(path, { recursive: true, force: true })
  }
}
