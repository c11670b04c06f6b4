import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { assignSlots, type GroupMember } from './assigner.js'

const member = (id: string, running: number[] = [], stored: [number, number][] = [], threads = 1): GroupMember => ({
  id,
  threads,
  running,
  stored: new Map(stored),
})

const assigned = (members: GroupMember[], slots: number) => Object.fromEntries(assignSlots(members, slots))

describe('the assigner', () => {
  it('spreads slots evenly, weighted by threads', () => {
    assert.deepEqual(assigned([member('a'), member('b'), member('c')], 6), { a: [0, 3], b: [1, 4], c: [2, 5] })
    const byThreads = assigned([member('a', [], [], 3), member('b')], 4)
    assert.equal(byThreads.a!.length, 3)
  })

  it('leaves a slot where it runs, also when there are fewer slots than members', () => {
    assert.deepEqual(assigned([member('a'), member('b'), member('c', [0])], 1), { a: [], b: [], c: [0] })
    assert.deepEqual(assigned([member('a', [1, 2]), member('b', [0, 3])], 4), { a: [1, 2], b: [0, 3] })
  })

  it('gives an orphan to the member whose disk has its newest state', () => {
    assert.deepEqual(assigned([member('a', [1], [[0, 4]]), member('b', [2], [[0, 9]])], 3), { a: [1], b: [0, 2] })
  })

  it('moves only what makes the load more even, to where state lies if there is a choice', () => {
    assert.deepEqual(assigned([member('a', [0, 1, 2]), member('b', [], [[1, 5]])], 3), { a: [0, 2], b: [1] })
    assert.deepEqual(assigned([member('a', [0, 1]), member('b', [2])], 3), { a: [0, 1], b: [2] })
  })

  it('of two members that both run a slot takes the one that is further on', () => {
    assert.deepEqual(assigned([member('a', [0], [[0, 7]]), member('b', [0], [[0, 8]])], 1), { a: [], b: [0] })
  })

  it('has nobody to give slots to in an empty group', () => {
    assert.deepEqual(assigned([], 3), {})
  })

  it('gives every slot to exactly one member, evenly, whatever the order of the members', () => {
    const members = fc.uniqueArray(
      fc.record({
        id: fc.string({ minLength: 1, maxLength: 3 }),
        threads: fc.integer({ min: 1, max: 4 }),
        running: fc.uniqueArray(fc.integer({ min: 0, max: 9 })),
        stored: fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 99 })), {
          selector: ([slot]) => slot,
        }),
      }),
      { selector: ({ id }) => id, minLength: 1, maxLength: 5 },
    )
    fc.assert(
      fc.property(members, fc.integer({ min: 0, max: 10 }), (raw, slots) => {
        const group = raw.map(({ stored, ...rest }) => ({ ...rest, stored: new Map(stored) }))
        const result = assignSlots(group, slots)
        assert.deepEqual(assignSlots([...group].reverse(), slots), result)
        assert.deepEqual(
          [...result.values()].flat().sort((a, b) => a - b),
          Array.from({ length: slots }, (_, slot) => slot),
        )
        for (const a of group) {
          for (const b of group) {
            const gain = (result.get(a.id)!.length - 1) / a.threads - (result.get(b.id)!.length + 1) / b.threads
            assert.ok(gain < 0, `moving a slot from ${a.id} to ${b.id} would even the load out`)
          }
        }
      }),
    )
  })
})
