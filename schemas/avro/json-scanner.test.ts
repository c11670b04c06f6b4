import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseStringMap } from './json.js'
import { JsonScanner, jsonString } from './json-scanner.js'

function accepts(text: string): boolean {
  const bytes = Buffer.from(text)
  const scanner = new JsonScanner()
  scanner.reset(bytes, bytes.length)
  const end = scanner.value(scanner.space(0))
  return end >= 0 && scanner.space(end) === bytes.length
}

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

test('accepts what JSON.parse accepts', () => {
  fc.assert(fc.property(fc.json({ maxDepth: 5 }), text => assert.ok(accepts(text))))
})

test('refuses what JSON.parse refuses', () => {
  const token = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '"a"',
    '1',
    '-',
    '0',
    '.',
    'e',
    '+',
    'null',
    'true',
    ' ',
    '\\',
    'u',
    '\n',
    '\x01',
    'é',
  )
  fc.assert(
    fc.property(
      fc.array(token, { maxLength: 9 }).map(tokens => tokens.join('')),
      text => {
        assert.equal(accepts(text), parses(text), JSON.stringify(text))
      },
    ),
    { numRuns: 5_000 },
  )
  for (const text of [
    '01',
    '1.',
    '.5',
    '-',
    '1e',
    '1e+',
    '+1',
    '"\\u12g4"',
    '"\t"',
    '{"a":1,}',
    "{'a':1}",
    '[1 2]',
    'nul',
  ]) {
    assert.ok(!accepts(text), text)
  }
})

test('strings come out as JSON.parse gives them', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), value => {
      const bytes = Buffer.from(JSON.stringify(value))
      const scanner = new JsonScanner()
      scanner.reset(bytes, bytes.length)
      assert.equal(scanner.string(0), bytes.length)
      assert.equal(jsonString(bytes, 1, bytes.length - 1, scanner.plain), value)
    }),
  )
})

test('maps of strings', () => {
  assert.deepEqual(
    [...parseStringMap(' { "b" : "1" , "__proto__" : "\\u00fc" } ')!],
    [
      ['b', '1'],
      ['__proto__', 'ü'],
    ],
  )
  assert.equal(parseStringMap('{}')!.size, 0)
  for (const text of [
    '',
    '[]',
    '{"a":1}',
    '{"a":"1","a":"2"}',
    '{"a":"1"}x',
    '{"a":"1",}',
    '{"a":"\\ud800"}',
    '{"a"',
  ]) {
    assert.equal(parseStringMap(text), undefined, text)
  }
})
