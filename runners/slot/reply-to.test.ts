import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Header, offset, type RecordBatch } from '../../log/index.js'
import { replyToHeader, replyToOf } from './reply-to.js'

const batch = (headers?: readonly Header[]): RecordBatch =>
  ({ topic: 't', partition: 0, count: 1, baseOffset: offset(0), ...(headers && { headersOf: () => headers }) }) as never

describe('where a producer waits', () => {
  it('is the text of one header, whatever others there are', () => {
    const value = Buffer.from('3/abc')
    const others = { name: 'content-type', value: Buffer.from('application/json') }
    assert.equal(replyToOf(batch([others, { name: replyToHeader, value }]), 0), '3/abc')
  })

  it('is nowhere without it, and where it is too long', () => {
    assert.equal(replyToOf(batch(), 0), undefined)
    assert.equal(replyToOf(batch([]), 0), undefined)
    assert.equal(replyToOf(batch([{ name: replyToHeader, value: Buffer.alloc(129, 'x') }]), 0), undefined)
  })
})
