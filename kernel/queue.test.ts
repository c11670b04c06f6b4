import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { BoundedQueue, isWeirError } from './index.js'

describe('BoundedQueue', () => {
  it('behaves like an array with a bound', () => {
    const action = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('push' as const), value: fc.integer() }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('shift' as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const) }) },
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(action, { maxLength: 60 }), (capacity, actions) => {
        const queue = new BoundedQueue<number>('model', capacity)
        const model: number[] = []
        for (const step of actions) {
          if (step.kind === 'clear') {
            queue.clear()
            model.length = 0
          } else if (step.kind === 'shift') {
            assert.equal(queue.shift(), model.shift())
          } else if (model.length < capacity) {
            queue.push(step.value)
            model.push(step.value)
          } else {
            assert.throws(
              () => queue.push(step.value),
              error => isWeirError(error, 'QUEUE_FULL'),
            )
          }
          assert.equal(queue.size, model.length)
          assert.equal(queue.full, model.length === capacity)
        }
        for (const expected of model) assert.equal(queue.shift(), expected)
        assert.equal(queue.shift(), undefined)
      }),
    )
  })

  it('names its bound when it is full (I6)', () => {
    const queue = new BoundedQueue<string>('replies', 1)
    queue.push('a')
    assert.throws(() => queue.push('b'), /QUEUE_FULL: replies holds its 1 entries/)
    assert.equal(queue.shift(), 'a')
  })

  it('keeps a value of undefined in its place', () => {
    const queue = new BoundedQueue<number | undefined>('holes', 3)
    queue.push(undefined)
    queue.push(1)
    assert.deepEqual([queue.size, queue.shift(), queue.shift(), queue.size], [2, undefined, 1, 0])
  })
})
