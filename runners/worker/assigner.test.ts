import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { assignSlots, assignStandbys, eligible, type GroupMember } from './assigner.js'

const firstPlan = { plan: 1, slots: 3, closes: false }

const member = (id: string, running: number[] = [], stored: [number, number][] = [], threads = 1): GroupMember => ({
  id,
  threads,
  running,
  following: [],
  stored: new Map(stored),
  standbys: 0,
  ...firstPlan,
})

/** A member that takes standbys. */
const follower = (id: string, running: number[] = [], following: number[] = [], stored: [number, number][] = []) => ({
  ...member(id, running, stored),
  following,
  standbys: 1,
})
const followed = (members: GroupMember[], slots: number) =>
  Object.fromEntries(assignStandbys(members, assignSlots(members, slots)))

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

  it('gives whoever closes the plan everything, and else only members of the newest plan anything', () => {
    const idsOf = (members: GroupMember[]): [string[], number] => {
      const found = eligible(members)
      return [found.members.map(({ id }) => id), found.slots]
    }
    const [a, b] = [member('a', [0, 1]), member('b', [2])]
    assert.deepEqual(idsOf([b, a]), [['a', 'b'], 3])
    const closer = { ...member('c'), closes: true }
    assert.deepEqual(idsOf([a, closer, b]), [['c'], 3])
    // two commands at once: one of them gets them all
    assert.deepEqual(idsOf([{ ...closer, id: 'd' }, a, closer]), [['c'], 3])
    const next = { plan: 2, slots: 5, closes: false }
    assert.deepEqual(idsOf([a, closer, { ...b, ...next }]), [['b'], 5])
  })

  it('gives every slot to exactly one member, evenly, whatever the order of the members', () => {
    const members = fc.uniqueArray(
      fc.record({
        id: fc.string({ minLength: 1, maxLength: 3 }),
        threads: fc.integer({ min: 1, max: 4 }),
        running: fc.uniqueArray(fc.integer({ min: 0, max: 9 })),
        following: fc.uniqueArray(fc.integer({ min: 0, max: 9 })),
        standbys: fc.integer({ min: 0, max: 1 }),
        stored: fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 99 })), {
          selector: ([slot]) => slot,
        }),
      }),
      { selector: ({ id }) => id, minLength: 1, maxLength: 5 },
    )
    fc.assert(
      fc.property(members, fc.integer({ min: 0, max: 10 }), (raw, slots) => {
        const group = raw.map(({ stored, ...rest }) => ({ ...rest, ...firstPlan, stored: new Map(stored) }))
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
        const standbys = assignStandbys(group, result)
        assert.deepEqual(assignStandbys([...group].reverse(), result), standbys)
        for (let slot = 0; slot < slots; slot++) {
          const able = group.filter(({ id, standbys }) => standbys > 0 && !result.get(id)!.includes(slot))
          const given = group.filter(({ id }) => standbys.get(id)!.includes(slot))
          assert.equal(given.length, able.length > 0 ? 1 : 0)
          assert.ok(given.every(one => able.includes(one)))
        }
      }),
    )
  })

  it('has each slot followed by another member, the load spread', () => {
    const members = [follower('a', [0]), follower('b', [1]), follower('c', [2])]
    const standbys = Object.values(followed(members, 3)).map(slots => slots.length)
    assert.deepEqual(standbys, [1, 1, 1])
  })

  it('has nobody follow where there is nobody else, or nobody who does', () => {
    assert.deepEqual(followed([follower('a', [0, 1])], 2), { a: [] })
    assert.deepEqual(followed([follower('a', [0]), member('b')], 1), { a: [], b: [] })
  })

  it('leaves a standby where it is', () => {
    const members = [follower('a', [0]), follower('b', [], [], [[0, 9]]), follower('c', [], [0], [[0, 5]])]
    assert.deepEqual(followed(members, 1), { a: [], b: [], c: [0] })
  })

  it('has a slot followed where its newest state lies', () => {
    const members = [follower('a', [0]), follower('b', [], [], [[0, 5]]), follower('c', [], [], [[0, 9]])]
    assert.deepEqual(followed(members, 1), { a: [], b: [], c: [0] })
  })

  it('gives a slot that lost its owner to its standby, whatever others have on their disks', () => {
    const members = [follower('b', [1], [0], [[0, 5]]), follower('c', [2], [], [[0, 9]])]
    assert.deepEqual(assigned(members, 3), { b: [0, 1], c: [2] })
  })

  it('leaves a slot with the standby that has taken it over, and has the owner of before follow it', () => {
    const members = [follower('a', [], [0], [[0, 9]]), follower('b', [0], [], [[0, 5]])]
    assert.deepEqual(assigned(members, 1), { a: [], b: [0] })
    assert.deepEqual(followed(members, 1), { a: [0], b: [] })
  })

  it('has a slot that moves followed where it ran: it goes on there until the other is ready', () => {
    const members = [follower('a', [0, 1]), follower('b'), follower('c', [2, 3])]
    const owned = assigned(members, 4)
    const [moved] = owned.b!
    assert.equal(owned.b!.length, 1)
    const standbys = followed(members, 4)
    assert.ok(owned.a!.includes(moved!) === false && (standbys.a!.includes(moved!) || standbys.c!.includes(moved!)))
  })
})
