/**
 * `npm run bench`: the main job from command to exit, as a user runs it: a file in, one decision a transaction out.
 *
 *   npm run bench                        simulated transactions, 5 runs
 *   npm run bench -- --input FILE        a Handbook file
 *   npm run bench -- --runs N --cpu N    pinned to processor N (default 0; needs taskset)
 *   npm run bench -- --json
 *
 * Every run has its calibration loop beside it; figures are medians with their range. Timings never decide a test.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { weirScript } from '../testing/weir-process/index.js'
import { calibrate } from './calibration.js'

interface Run {
  readonly wallS: number
  readonly cpuUsPerRecord: number
  readonly recordsPerS: number
  readonly peakRssMb: number
  readonly calibrationUs: number
  readonly phasesUsPerRecord: ReadonlyMap<string, number>
}

interface ReplayReport {
  readonly phases_ms: Readonly<Record<string, number>>
  readonly cpu_ms: number
  readonly max_rss_mb: number
}

const { values } = parseArgs({
  options: {
    input: { type: 'string' },
    runs: { type: 'string', default: '5' },
    cpu: { type: 'string', default: '0' },
    partitions: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})

function pinned(args: readonly string[]): { command: string; args: string[] } {
  const all = [...weirScript, ...args]
  const hasTaskset = process.platform === 'linux' && spawnSync('taskset', ['-V']).status === 0
  if (hasTaskset) return { command: 'taskset', args: ['-c', values.cpu, process.execPath, ...all] }
  return { command: process.execPath, args: all }
}

function runOnce(input: string, folder: string): { run: Run; records: number; outputMb: number } {
  const output = join(folder, 'decisions.ndjson')
  const calibrationBefore = calibrate()
  const { command, args } = pinned([
    ...['replay', '--format', 'handbook', '--input', input, '--output', output],
    ...['--partitions', values.partitions, '--fresh', '--json', '--profile'],
  ])
  const start = performance.now()
  const child = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 24 })
  const wallS = (performance.now() - start) / 1_000
  if (child.status !== 0) throw new Error(`replay failed: ${child.stderr}`)
  const calibrationUs = (calibrationBefore + calibrate()) / 2
  const summary = JSON.parse(child.stdout) as { lines: number }
  const profileLine = child.stderr.split('\n').find(line => line.startsWith('{"phases_ms"'))
  const report = JSON.parse(profileLine ?? '') as ReplayReport
  const outputMb = statSync(output).size / (1 << 20)
  const records = summary.lines
  return {
    records,
    outputMb,
    run: {
      wallS,
      recordsPerS: records / wallS,
      cpuUsPerRecord: (report.cpu_ms * 1_000) / records,
      peakRssMb: report.max_rss_mb,
      calibrationUs,
      phasesUsPerRecord: new Map(
        Object.entries(report.phases_ms).map(([phase, ms]) => [phase, (ms * 1_000) / records]),
      ),
    },
  }
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN

function line(name: string, numbers: readonly number[], digits: number): string {
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)]
  return `${name.padEnd(34)}${median(numbers).toFixed(digits).padStart(10)}   (${least.toFixed(digits)} to ${most.toFixed(digits)})`
}

const folder = mkdtempSync(join(tmpdir(), 'weir-bench-'))
try {
  let input = values.input
  if (input === undefined) {
    input = join(folder, 'transactions.csv.gz')
    execFileSync(process.execPath, [...weirScript, 'generate', '--days', '40', '--output', input])
  }
  if (!existsSync(input)) throw new Error(`there is no ${input}`)
  const runs: Run[] = []
  let records = 0
  let outputMb = 0
  for (let i = 0; i < Number(values.runs); i++) {
    const done = runOnce(input, folder)
    runs.push(done.run)
    records = done.records
    outputMb = done.outputMb
  }
  const phases = [...(runs[0]?.phasesUsPerRecord.keys() ?? [])]
  if (values.json) {
    const plain = runs.map(run => ({ ...run, phasesUsPerRecord: Object.fromEntries(run.phasesUsPerRecord) }))
    process.stdout.write(`${JSON.stringify({ records, outputMb, runs: plain }, null, 2)}\n`)
  } else {
    const out = [
      `replay of ${records} records, ${outputMb.toFixed(0)} MB of decisions, ${runs.length} runs on one processor, command to exit`,
      line(
        'records a second',
        runs.map(run => run.recordsPerS),
        0,
      ),
      line(
        'CPU us a record',
        runs.map(run => run.cpuUsPerRecord),
        2,
      ),
      line(
        'CPU us a record / calibration',
        runs.map(run => run.cpuUsPerRecord / run.calibrationUs),
        1,
      ),
      line(
        'calibration, us a round',
        runs.map(run => run.calibrationUs),
        3,
      ),
      line(
        'peak memory, MB',
        runs.map(run => run.peakRssMb),
        0,
      ),
      'wall us a record by phase:',
      ...phases.map(phase =>
        line(
          `  ${phase}`,
          runs.map(run => run.phasesUsPerRecord.get(phase) ?? 0),
          2,
        ),
      ),
    ]
    process.stdout.write(`${out.join('\n')}\n`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
