/**
 * What a user may hand to `weir replay` by mistake: each is one line `CODE: what; what to do` with exit code 1, or 2 for
 * wrong usage, and an output that exists is not touched.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { repositoryFile } from '../../kernel/index.js'
import { type Ended, errorLine, errorShape, weir } from './testing/cli.js'
import { type DecisionLine, folder, freshPath, parseLines } from './testing/run.js'

const header = 'transaction_id,tx_datetime,customer_id,terminal_id,tx_amount,tx_fraud'
const rows = Array.from({ length: 50 }, (_, i) => `${i},2024-01-01T00:00:${10 + (i % 50)}Z,c${i % 5},t1,10.00,0`)
const content = `${[header, ...rows].join('\n')}\n`

function written(name: string, bytes: string | Buffer): string {
  const path = freshPath(name)
  writeFileSync(path, bytes)
  return path
}

function directory(name: string): string {
  const path = freshPath(name)
  mkdirSync(path)
  return path
}

const good = written('good.csv', content)

const replayArgs = (input: string, output: string, ...more: string[]): string[] => [
  ...['replay', '--format', 'handbook', '--input', input, '--output', output, '--json'],
  ...more,
]

/** Exactly one line on stderr beside those of progress, nothing on stdout. */
function assertOneError(ended: Ended, exit: number, code: string, what: RegExp = /./): void {
  assert.equal(ended.code, exit, ended.stderr)
  assert.equal(ended.stdout, '')
  const told = ended.stderr.replaceAll(/^replay: .*\n/gm, '')
  assert.equal(told, `${errorLine(ended)}\n`, 'one line, no stack')
  assert.match(errorLine(ended), errorShape)
  assert.equal(errorLine(ended).split(':')[0], code, ended.stderr)
  assert.match(errorLine(ended), what)
}

/** Runs against an output that a user may want to keep, and checks that a command that fails keeps it. */
async function assertRefused(input: string, code: string, what: RegExp, ...more: string[]): Promise<void> {
  const output = written('precious.ndjson', 'of an earlier replay\n')
  assertOneError(await weir(replayArgs(input, output, ...more)), 1, code, what)
  assert.equal(readFileSync(output, 'utf8'), 'of an earlier replay\n')
  assert.ok(!existsSync(`${output}.replay`), 'nothing is left behind')
}

describe('an input that cannot be read', () => {
  const cases: readonly (readonly [string, () => string, RegExp])[] = [
    ['does not exist', () => join(folder, 'nowhere.csv'), /nowhere\.csv/],
    ['is a directory', () => directory('d.csv'), /not a regular file/],
    ['is empty', () => written('empty.csv', ''), /no header/],
    ['is an empty gzip', () => written('empty.csv.gz', gzipSync('')), /no header/],
    ['lacks a column', () => written('lacking.csv', content.replace('customer_id', 'client')), /lacks customer_id/],
    ['names a column twice', () => written('twice.csv', content.replace('tx_fraud', 'TX_AMOUNT')), /twice/],
    ['has a header that is no UTF-8', () => written('latin.csv', Buffer.from(`\xe9,${content}`, 'latin1')), /UTF-8/],
    ['has a header that is no CSV', () => written('quote.csv', `"${content}`), /header/],
    ['has a header of a megabyte', () => written('long.csv', `${'x'.repeat(1 << 20)},${content}`), /too long/],
    ['has no header', () => written('headless.csv', rows.join('\n')), /lacks transaction_id/],
    ['is no gzip', () => written('plain.csv.gz', content), /no gzip/],
    ['is a gzip cut in its header', () => written('cut.csv.gz', gzipSync(content).subarray(0, 5)), /truncated/],
    ['is of an unknown kind', () => written('file.parquet', content), /ends in none of/],
  ]
  for (const [name, create, what] of cases) {
    it(name, () => assertRefused(create(), 'INPUT_UNREADABLE', what))
  }

  it('is a truncated or damaged gzip: exit code 1, after the lines before', async () => {
    const long = [header, ...Array.from({ length: 20_000 }, (_, i) => rows[i % 50]!.replace(/^\d+/, `${i}`))].join('\n')
    const whole = gzipSync(long)
    const flipped = Buffer.from(whole)
    flipped[whole.length - 6] = flipped[whole.length - 6]! ^ 1
    for (const [bytes, what] of [
      [whole.subarray(0, whole.length - 9), /truncated/],
      [whole.subarray(0, whole.length - 1), /truncated/],
      [flipped, /checksum/],
      [Buffer.concat([whole, Buffer.from('garbage')]), /follows/],
    ] as const) {
      const output = freshPath('out.ndjson')
      const ended = await weir(replayArgs(written('bad.csv.gz', bytes), output, '--model', 'none'))
      assertOneError(ended, 1, 'INPUT_UNREADABLE', what)
      const decided = parseLines<DecisionLine>(readFileSync(output)).length
      assert.ok(decided > 15_000 && decided <= 20_000, `${decided} lines before the damage were decided`)
    }
  })
})

it('a header alone is no error: no decisions, and files that are empty', async () => {
  for (const [name, bytes] of [
    ['alone.csv', header],
    ['alone.csv.gz', gzipSync(`${header}\r\n`)],
    ['empty.ndjson', ''],
  ] as const) {
    const output = freshPath('out.ndjson')
    const ended = await weir(replayArgs(written(name, bytes), output, '--model', 'none'))
    assert.equal(ended.code, 0, ended.stderr)
    assert.equal(JSON.parse(ended.stdout).lines, 0)
    assert.deepEqual([statSync(output).size, statSync(`${output}.dead-letter.ndjson`).size], [0, 0])
    assert.ok(!existsSync(`${output}.replay`))
  }
})

describe('the output', () => {
  it('that is the input, by any name, is refused, and the input is still there', async () => {
    const input = written('input.csv', content)
    const symbolic = freshPath('symbolic.csv')
    const hard = freshPath('hard.csv')
    symlinkSync(input, symbolic)
    linkSync(input, hard)
    for (const output of [input, symbolic, hard]) {
      assertOneError(await weir(replayArgs(input, output)), 2, 'USAGE', /same file/)
      assert.equal(readFileSync(input, 'utf8'), content)
    }
  })

  it('that is a directory or a device is refused, and is still there', async () => {
    const kept = directory('kept')
    writeFileSync(join(kept, 'file'), 'kept')
    assertOneError(await weir(replayArgs(good, kept)), 1, 'OUTPUT_UNWRITABLE', /not a regular file/)
    assert.equal(readFileSync(join(kept, 'file'), 'utf8'), 'kept')
    // as root this removed the device once
    const link = freshPath('device')
    symlinkSync('/dev/null', link)
    assertOneError(await weir(replayArgs(good, link)), 1, 'OUTPUT_UNWRITABLE', /not a regular file/)
    assert.ok(existsSync(link))
  })

  it('below a file is refused; missing directories are created', async () => {
    assertOneError(await weir(replayArgs(good, join(good, 'out.ndjson'))), 1, 'OUTPUT_UNWRITABLE')
    const deep = join(freshPath('a'), 'b', 'out.ndjson')
    assert.equal((await weir(replayArgs(good, deep, '--model', 'none'))).code, 0)
    assert.equal(parseLines(readFileSync(deep)).length, rows.length)
  })
})

describe('a model', () => {
  const onnx = repositoryFile('fraud/models/handbook-gbdt.onnx')
  const contract = JSON.parse(readFileSync(onnx.replace('.onnx', '.json'), 'utf8')) as Record<string, unknown>
  const model = (change: object, text?: string): string => {
    const path = freshPath('model.onnx')
    copyFileSync(onnx, path)
    writeFileSync(path.replace('.onnx', '.json'), text ?? JSON.stringify({ ...contract, ...change }))
    return path
  }

  it('none: no score, and no decision is degraded', async () => {
    const output = freshPath('out.ndjson')
    assert.equal((await weir(replayArgs(good, output, '--model', 'none'))).code, 0)
    for (const decision of parseLines<DecisionLine>(readFileSync(output))) {
      assert.ok(!('score' in decision) && !('adjusted_score' in decision) && !('degraded' in decision))
    }
  })

  it('given by its path scores as the bundled one does when it is the same', async () => {
    const [bundled, given] = [freshPath('bundled.ndjson'), freshPath('given.ndjson')]
    assert.equal((await weir(replayArgs(good, bundled))).code, 0)
    assert.equal((await weir(replayArgs(good, given, '--model', model({})))).code, 0)
    assert.ok(readFileSync(bundled).equals(readFileSync(given)))
    for (const { score } of parseLines<DecisionLine>(readFileSync(given))) assert.ok(score! >= 0 && score! <= 1)
  })

  const features = contract.features as string[]
  const cases: readonly (readonly [string, () => string, string, RegExp])[] = [
    [
      'asks for another feature',
      () => model({ features: ['other', ...features.slice(1)], reference: {} }),
      'MODEL_CONTRACT',
      /other/,
    ],
    ['has another width', () => model({ features: features.slice(1), reference: {} }), 'MODEL_CONTRACT', /./],
    ['has another output', () => model({ output: 'nothing' }), 'MODEL_CONTRACT', /nothing/],
    ['has another hash', () => model({ sha256: '0'.repeat(64) }), 'MODEL_CONTRACT', /SHA-256/],
    ['states no feature', () => model({ features: [] }), 'MODEL_CONTRACT', /features/],
    ['has a contract that is no JSON', () => model({}, 'hello\nworld'), 'MODEL_CONTRACT', /not JSON/],
    ['is no ONNX', () => notOnnx(model), 'MODEL_CONTRACT', /./],
    ['has no contract', () => written('alone.onnx', 'x'), 'UNKNOWN_MODEL', /alone\.json/],
    ['does not exist', () => join(folder, 'nowhere.onnx'), 'UNKNOWN_MODEL', /nowhere\.onnx/],
    ['has another ending', () => written('model.bin', 'x'), 'UNKNOWN_MODEL', /\.onnx/],
  ]
  for (const [name, create, code, what] of cases) {
    it(name, () => assertRefused(good, code, what, '--model', create()))
  }
})

function notOnnx(model: (change: object) => string): string {
  const text = 'this is no model'
  const path = model({ sha256: createHash('sha256').update(text).digest('hex') })
  writeFileSync(path, text)
  return path
}

describe('other files and flags', () => {
  it('rules and features that are missing, no JSON, or wrong', async () => {
    const broken = written('broken.json', '{\n"a": nope\n}')
    const wrong = written('wrong.json', '{"version": 7}')
    await assertRefused(good, 'INPUT_UNREADABLE', /nowhere/, '--rules', join(folder, 'nowhere.json'))
    await assertRefused(good, 'INPUT_UNREADABLE', /nowhere/, '--features', join(folder, 'nowhere.json'))
    await assertRefused(good, 'INVALID_RULES', /not JSON/, '--rules', broken)
    await assertRefused(good, 'INVALID_RULES', /version/, '--rules', wrong)
    await assertRefused(good, 'INVALID_FEATURES', /not JSON/, '--features', broken)
    await assertRefused(good, 'INVALID_FEATURES', /version/, '--features', wrong)
    await assertRefused(good, 'INVALID_CURRENCY', /./, '--currency', 'XXZ')
  })

  it('features that the model or the rules miss', async () => {
    const set = { feature_set_version: 'mine', features: [{ name: 'tx_amount', kind: 'amount' }] }
    const features = written('set.json', JSON.stringify(set))
    const rules = JSON.parse(readFileSync(repositoryFile('fraud/rules/default-rules.json'), 'utf8'))
    const none = written('rules.json', JSON.stringify({ ...rules, rules: [] }))
    await assertRefused(good, 'MODEL_CONTRACT', /tx_during/, '--features', features, '--rules', none)
    await assertRefused(good, 'UNKNOWN_FEATURE', /customer_id/, '--features', features, '--model', 'none')
  })

  it('wrong usage is exit code 2 and one line', async () => {
    const output = freshPath('out.ndjson')
    for (const args of [
      ['replay'],
      ['replay', '--input', good],
      ['replay', '--output', output],
      ['replay', '--input', '', '--output', output],
      replayArgs(good, output, '--nonsense'),
      replayArgs(good, output, 'positional'),
      replayArgs(good, output, '--format', 'parquet'),
      replayArgs(good, output, '--partitions', '0'),
      replayArgs(good, output, '--partitions', '1.5'),
      replayArgs(good, output, '--partitions', '-4'),
      replayArgs(good, output, '--epoch-records', '0'),
      replayArgs(good, output, '--model'),
      ['no-such-verb'],
      ['__proto__'],
    ]) {
      assertOneError(await weir(args), 2, 'USAGE')
    }
    assert.ok(!existsSync(output))
  })

  it('--help shows an example and --debug the stack', async () => {
    const help = await weir(['replay', '--help'])
    assert.equal(help.code, 0)
    assert.match(help.stdout, /example:\n.*weir/)
    const debug = await weir([...replayArgs(join(folder, 'nowhere.csv'), freshPath('out.ndjson')), '--debug'])
    assert.equal(debug.code, 1)
    assert.match(debug.stderr, /\n\s+at /)
  })
})
