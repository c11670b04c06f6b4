import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AssertionError, assertNever, defined, isWeirError, assert as weirAssert } from './index.js'

describe('assertions', () => {
  it('throw what is not an error of the world, with the message', () => {
    assert.throws(
      () => weirAssert(0, 'zero is false'),
      (error: unknown) =>
        error instanceof AssertionError && error.message === 'assertion failed: zero is false' && !isWeirError(error),
    )
    weirAssert('x', 'a string is true')
  })

  it('name the value that no branch expected', () => {
    assert.throws(() => assertNever({ kind: 'new' } as never), /unexpected value \{"kind":"new"\}/)
  })

  it('take 0, false and the empty string as defined', () => {
    assert.equal(defined(0, 'zero'), 0)
    assert.equal(defined(false, 'no'), false)
    assert.equal(defined('', 'empty'), '')
    assert.throws(() => defined(undefined, 'the slot'), /the slot is missing/)
    assert.throws(() => defined(null, 'the slot'), AssertionError)
  })
})
