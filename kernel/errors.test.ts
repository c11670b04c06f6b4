import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import {
  type ErrorCode,
  type ErrorEntry,
  errorTable,
  isWeirError,
  messageOf,
  repositoryFile,
  WeirError,
} from './index.js'

const codes = Object.keys(errorTable) as ErrorCode[]
const entryOf = (code: ErrorCode): ErrorEntry => errorTable[code]
const lines = (found: readonly string[]): string => found.join('\n')

describe('docs/errors.md', () => {
  const text = readFileSync(repositoryFile('docs/errors.md'), 'utf8')
  const sections = new Map(
    text
      .split(/^### /m)
      .slice(1)
      .map(section => [section.slice(0, section.indexOf('\n')).trim(), section.replace(/^## .*/ms, '')]),
  )

  it('has a section for every code', () => {
    assert.equal(lines(codes.filter(code => !sections.has(code))), '', 'these codes lack a section in docs/errors.md')
  })

  it('has no section for a code that does not exist', () => {
    const surplus = [...sections.keys()].filter(code => !(code in errorTable))
    assert.equal(lines(surplus), '', 'these sections have no row in kernel/errors.ts')
  })

  it('has each section once', () => assert.equal(text.match(/^### /gm)?.length, sections.size))

  it('says of each code when it occurs, what to do, where it shows, and its domain and retry as the table has them', () => {
    const wrong = codes.flatMap(code => {
      const section = sections.get(code) ?? ''
      const { domain, retry } = entryOf(code)
      const wanted = [`Domain \`${domain}\`, retry \`${retry}\`.`, '- **When**: ', '- **Do**: ', '- **Shows**: ']
      return wanted.filter(part => !section.includes(part)).map(part => `${code} lacks: ${part}`)
    })
    assert.equal(lines(wrong), '')
  })
})

describe('the error table', () => {
  it('names codes in capitals and gives advice that fits behind a semicolon', () => {
    for (const code of codes) {
      assert.match(code, /^[A-Z]+(?:_[A-Z]+)*$/)
      assert.match(entryOf(code).advice, /^[^\n]*[^\n.;]$/, code)
    }
  })

  it('has a row for every code that the scripts print', () => {
    const printed = readdirSync(repositoryFile('scripts'))
      .filter(name => name.endsWith('.mjs'))
      .flatMap(
        name =>
          readFileSync(repositoryFile(`scripts/${name}`), 'utf8').match(/(?<=['`]|\\n)[A-Z]+_[A-Z_]+(?=: )/g) ?? [],
      )
    assert.ok(printed.includes('SETUP_FAILED'), 'the search for codes finds none')
    assert.equal(lines([...new Set(printed)].filter(code => !(code in errorTable))), '')
  })
})

describe('WeirError', () => {
  it('reads CODE: what happened; what to do', () => {
    const error = new WeirError('USAGE', 'no verb named upp')
    assert.equal(error.message, 'USAGE: no verb named upp; see weir VERB --help')
    assert.deepEqual([error.code, error.name, error.domain, error.retry], ['USAGE', 'WeirError', 'user', 'never'])
    assert.ok(error instanceof Error)
  })

  it('keeps its cause', () => {
    const cause = new Error('EACCES')
    assert.equal(new WeirError('BACKEND_FAILED', 'no write', { cause }).cause, cause)
    assert.ok(!('cause' in new WeirError('BACKEND_FAILED', 'no write')))
  })

  it('is told from other errors, and by its code', () => {
    const error: unknown = new WeirError('SLOT_FENCED', 'a newer owner exists')
    assert.ok(isWeirError(error))
    assert.ok(isWeirError(error, 'SLOT_FENCED'))
    assert.ok(!isWeirError(error, 'COMMIT_INDEFINITE'))
    assert.ok(!isWeirError(new Error('SLOT_FENCED')))
    assert.ok(!isWeirError({ code: 'SLOT_FENCED' }))
    assert.ok(!isWeirError(undefined))
  })
})

describe('messageOf', () => {
  it('takes whatever was thrown', () => {
    assert.equal(messageOf(new RangeError('too far')), 'too far')
    assert.equal(messageOf('text'), 'text')
    assert.equal(messageOf(undefined), 'undefined')
  })
})
