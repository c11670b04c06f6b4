/**
 * `npm test [-- PATTERN...]`: set-up, formatting and lint, then every test file below dist/, each in a process of its own.
 * With patterns only the files whose path contains one of them run, without the lint.
 * `npm run test:services`: the heavy tests instead, *.services.test.ts, without the lint.
 *
 * Invariants:
 * 1. The last line is `N passed, N failed, N skipped`, counting leaf tests.
 * 2. What prevents tests from being counted is a failure: a file that crashes, does not load, exceeds `fileMsMax` or holds no
 *    test, a tree that does not build or is not formatted.
 * 3. The exit code is 0 only when nothing failed and something ran.
 */
import './node-version.mjs'
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { runChild, stopChildrenOnSignals } from './processes.mjs'
import { root, SetupError, setup } from './setup.mjs'
import { provideService, stopServices } from './test-services.mjs'

const filesAtOnce = 2
const heavy = process.argv.includes('--services')
const fileMsMax = heavy ? 1_800_000 : 600_000

const totals = { pass: 0, fail: 0, skip: 0 }
const resultsFolder = join(root, '.build', `test-${process.pid}`)

async function run(patterns) {
  try {
    await setup({ quiet: true })
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    return failure('set-up', error.message)
  }
  if (patterns.length === 0 && !heavy) await lint()
  const files = testFiles(join(root, 'dist')).filter(
    file =>
      file.endsWith('.services.test.js') === heavy &&
      (patterns.length === 0 || patterns.some(pattern => sourceOf(file).includes(pattern))),
  )
  if (files.length === 0) return failure('tests', `no test file has ${patterns.join(' or ')} in its path`)
  mkdirSync(resultsFolder, { recursive: true })
  const worker = async () => {
    for (let file = files.shift(); file !== undefined; file = files.shift()) await runFile(file)
  }
  try {
    await Promise.all(Array.from({ length: filesAtOnce }, worker))
  } finally {
    await stopServices()
  }
}

async function lint() {
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome')
  const result = await runChild([process.execPath, biome, 'check', '.'], { cwd: root })
  if (result.code === 0) console.log('ok    formatting and lint')
  else failure('formatting and lint', `${result.output.trimEnd()}\nrun: npm run format`)
}

function testFiles(folder) {
  const found = []
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) found.push(...testFiles(path))
    else if (entry.name.endsWith('.test.js')) found.push(path)
  }
  return found.sort()
}

/** `dist/a/b.test.js` as people know it: `a/b.test.ts`. */
const sourceOf = file => relative(join(root, 'dist'), file).replace(/\.js$/, '.ts')

async function runFile(file) {
  const name = sourceOf(file)
  const resultsPath = join(resultsFolder, name.replaceAll('/', '+'))
  const reporter = new URL('test-reporter.mjs', import.meta.url).href
  const startedMs = Date.now()
  const ended = await runChild(
    [
      process.execPath,
      '--enable-source-maps',
      `--test-reporter=${reporter}`,
      '--test-reporter-destination=stdout',
      file,
    ],
    {
      cwd: root,
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, WEIR_TEST_RESULTS: resultsPath, WEIR_TEST_RUNNER: '1' },
      timeoutMs: fileMsMax,
      onMessage: provideService,
    },
  )
  const results = readResults(resultsPath)
  const counts = { pass: 0, fail: 0, skip: 0 }
  for (const { kind } of results) if (kind !== 'end') counts[kind]++
  const trouble = troubleOf(ended, results, counts)
  if (trouble !== undefined) counts.fail++
  const failed = counts.fail > 0
  const skipped = counts.skip > 0 ? `, ${counts.skip} skipped` : ''
  const seconds = ((Date.now() - startedMs) / 1_000).toFixed(1)
  console.log(
    `${failed ? 'FAIL' : 'ok  '}  ${name}  ${counts.pass} passed, ${counts.fail} failed${skipped}, ${seconds} s`,
  )
  for (const result of results) report(name, result)
  if (trouble !== undefined) console.log(indent(`failed: ${name} ${trouble}`))
  if (failed && ended.output !== '') console.log(indent(`output of ${name}:\n${ended.output.trimEnd()}`))
  totals.pass += counts.pass
  totals.fail += counts.fail
  totals.skip += counts.skip
}

/** What went wrong beyond the tests that were reported as failed; undefined when nothing did. */
function troubleOf(ended, results, counts) {
  if (ended.error !== undefined) return `could not be started: ${ended.error.message}`
  if (ended.timedOut) return `did not end within ${fileMsMax / 1_000} s`
  if (ended.signal !== null) return `was ended by ${ended.signal}`
  if (results.length === 0 && ended.code === 0) return 'holds no test'
  if (results.at(-1)?.kind !== 'end') return `ended with code ${ended.code} before its tests were done`
  if (ended.code !== 0 && counts.fail === 0) return `ended with code ${ended.code} though no test failed`
  if (counts.pass + counts.fail + counts.skip === 0) return 'holds no test'
  return undefined
}

function readResults(path) {
  let text
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return []
    throw error
  }
  // A process that was killed may leave half a line; only whole lines count.
  return text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line))
}

function report(file, { kind, name, where, reason, error }) {
  if (kind === 'skip') console.log(indent(`skipped: ${name}: ${reason}`))
  if (kind === 'fail')
    console.log(indent(`failed: ${file}: ${name}${where === undefined ? '' : `\n  at ${where}`}\n${error}`))
}

function failure(what, why) {
  totals.fail++
  console.log(`FAIL  ${what}\n${indent(why)}`)
}

const indent = text => text.replaceAll(/^(?=.)/gm, '      ')

stopChildrenOnSignals()
process.once('exit', () => rmSync(resultsFolder, { recursive: true, force: true }))
try {
  await run(process.argv.slice(2).filter(arg => arg !== '--services'))
} catch (error) {
  failure('the test runner itself', error.stack)
}
if (totals.fail > 0 || totals.pass === 0) process.exitCode = 1
console.log(`\n${totals.pass} passed, ${totals.fail} failed, ${totals.skip} skipped`)
