import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { topFolderOf } from './layers.js'
import { maskLiterals } from './mask.js'
import { lineAt, type SourceFile, sourceFiles } from './source.js'

const files = sourceFiles()

/** Path, line and text of every match in code (not in comments or strings) of the files that `where` picks. */
function matches(pattern: RegExp, where: (file: SourceFile) => boolean): string {
  return files
    .filter(where)
    .flatMap(({ path, code }) =>
      [...code.matchAll(pattern)].map(match => `${path}:${lineAt(code, match.index)} ${match[0].trim()}`),
    )
    .join('\n')
}

/** The wall clock and chance exist only here; everything else is handed a Clock or a seed (I3). */
const mayReadTheClock = [
  'kernel',
  'edge',
  'runners',
  'testing',
  'benchmarks',
  'examples',
  'log/conformance',
  // An adapter to a server: the marks of its requests must differ between processes.
  'state/checkpoint/stores/s3',
]
const isEdge = (path: string): boolean => mayReadTheClock.some(folder => path.startsWith(`${folder}/`))
const clockOrChance =
  /\bDate\s*\.\s*now\b|\bMath\s*\.\s*random\b|\bperformance\s*\.\s*now\b|\bprocess\s*\.\s*hrtime\b|\bnew\s+Date\s*(?:\(\s*\)|(?!\s*\())|\brandomUUID\b|\brandomBytes\b/g

/** The word where a type stands; a variable may be called so. */
const anyType = /(?:[:<|&]|=>|\b(?:as|extends|is)\b|\btype\s+[\w<>, ]+=)\s*any\b(?!\s*[(.])|,\s*any\s*>/g

const linesMax = 500

/** Modules that reach outside the process, or read its clock. */
const outside =
  /^node:(?:fs|fs\/promises|net|http|https|http2|tls|dgram|dns|dns\/promises|child_process|worker_threads|timers|timers\/promises|os|perf_hooks|process)$/

describe('code', () => {
  it('reads no wall clock and no randomness outside the edges (I3)', () => {
    const found = matches(clockOrChance, file => !file.isTest && !isEdge(file.path))
    assert.equal(found, '', 'take a Clock or a seed from the caller')
  })

  it('uses no Math.random in tests: a failure must repeat', () => {
    assert.equal(
      matches(/\bMath\s*\.\s*random\b/g, file => file.isTest),
      '',
      'use fast-check or a seeded generator',
    )
  })

  it('has no type any', () => {
    assert.equal(
      matches(anyType, () => true),
      '',
      'use unknown at borders, and parse it once',
    )
  })

  it(`keeps files outside tests within ${linesMax} lines`, () => {
    const long = files.filter(file => !file.isTest && file.text.split('\n').length > linesMax + 1)
    assert.equal(long.map(file => file.path).join('\n'), '', 'a longer file usually hides two ideas')
  })

  it('does no input or output in operators (I3)', () => {
    const found = files
      .filter(file => !file.isTest && topFolderOf(file.path) === 'operators')
      .flatMap(({ path, imports }) =>
        imports
          .filter(({ specifier }) => outside.test(specifier))
          .map(({ line, specifier }) => `${path}:${line} ${specifier}`),
      )
    assert.equal(found.join('\n'), '', 'what comes from outside enters as a record')
  })
})

describe('the judges of code', () => {
  const count = (pattern: RegExp, code: string): number => [...maskLiterals(code).matchAll(pattern)].length

  it('see clocks and chance, not dates made from an argument, comments or strings', () => {
    for (const bad of [
      'Date.now()',
      'Math . random()',
      'new Date()',
      'new Date',
      'performance.now()',
      'randomUUID()',
    ]) {
      assert.equal(count(clockOrChance, `const x = ${bad}\n`), 1, bad)
    }
    for (const good of [
      'new Date(at)',
      'Date.UTC(1)',
      "'Date.now()'",
      '1 // Math.random()',
      '`new Date()`',
      'x.update.now',
    ]) {
      assert.equal(count(clockOrChance, `const x = ${good}\n`), 0, good)
    }
    assert.equal(count(clockOrChance, `const x = \`at \${Date.now()} ms\``), 1)
  })

  it('see any as a type, not as a word or a method', () => {
    for (const bad of [
      'let x: any',
      'y as any',
      'let z: Array<any>',
      'type A = any',
      'f<any>()',
      'let q: any[]',
      'Map<string, any>',
    ]) {
      assert.equal(count(anyType, bad), 1, bad)
    }
    for (const good of [
      'Promise.any(x)',
      '// any',
      "'any'",
      'anyField',
      'const x = { any: 1 }',
      'const any = 1',
      'f(any, any)',
    ]) {
      assert.equal(count(anyType, good), 0, good)
    }
  })

  it('blank literals in place', () => {
    const text = `a('x//y') /* b */ + \`c\${d({ e: '}' })}f\` / 2 / g // h\nreturn /[/'"]/g.test(i) ? "j" : 'it\\'s'`
    const masked = maskLiterals(text)
    assert.equal(masked.length, text.length)
    const expected = `a(' ') + \` \${d({ e: ' ' })} \` / 2 / g \nreturn / /g.test(i) ? " " : ' '`
    assert.equal(masked.replace(/ +/g, ' '), expected)
  })
})
