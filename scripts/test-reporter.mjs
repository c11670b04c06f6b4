/**
 * A reporter for node:test that turns one test file's events into lines of JSON, one for each leaf test:
 * `{ kind: 'pass' | 'fail' | 'skip', name, ms, where?, reason?, error? }`, and `{ kind: 'end' }` last.
 * Lines are written as they come (to the file that WEIR_TEST_RESULTS names), so that they outlive a crash of the process.
 *
 * A leaf is a test without subtests. Node.js does not say which those are (20, 22 and 24 differ in details.type), but it
 * reports children before their parent: what is reported right after something one level deeper is a parent.
 * Parents count only when they failed by themselves, in a hook or in their own body.
 */
import { openSync, writeSync } from 'node:fs'
import { inspect } from 'node:util'

export default async function* reporter(events) {
  const target = openSync(process.env.WEIR_TEST_RESULTS, 'a')
  const write = line => writeSync(target, `${JSON.stringify(line)}\n`)
  const names = []
  let childrenAt = -1
  for await (const { type, data } of events) {
    if (type === 'test:start') {
      names.length = data.nesting
      names.push(data.name)
    }
    // Errors that came after their test had ended are told only so; shown, as all output is, when the file failed.
    if (type === 'test:diagnostic' && !summary.test(data.message)) yield `${data.message}\n`
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const isParent = childrenAt === data.nesting + 1
    childrenAt = data.nesting
    const result = resultOf(type, data)
    const isEmptySuite = data.details.type === 'suite' && result.kind === 'pass'
    if (isEmptySuite || (isParent && !failedByItself(result, data))) continue
    write({ ...result, name: [...names.slice(0, data.nesting), data.name].join(' > '), ms: data.details.duration_ms })
  }
  write({ kind: 'end' })
}

/** The counts that Node.js itself gives at the end. */
const summary = /^(?:tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/

function resultOf(type, data) {
  if (data.skip !== undefined && data.skip !== false) return { kind: 'skip', reason: reasonOf(data.skip) }
  if (data.todo !== undefined && data.todo !== false) return { kind: 'skip', reason: `to do: ${reasonOf(data.todo)}` }
  if (type === 'test:pass') return { kind: 'pass' }
  const { error } = data.details
  const where = data.file === undefined ? undefined : `${data.file}:${data.line ?? 0}`
  return {
    kind: 'fail',
    where,
    error: inspect(error?.cause ?? error, { depth: 8, maxArrayLength: 50, maxStringLength: 20_000 }),
  }
}

const failedByItself = (result, data) => result.kind === 'fail' && data.details.error?.failureType !== 'subtestsFailed'

const reasonOf = value => (typeof value === 'string' && value !== '' ? value : 'no reason given')
