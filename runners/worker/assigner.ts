/**
 * Which member of the group runs which slot, and which follows it: pure functions of what the members say of themselves.
 *
 * Invariants: 1. every slot has exactly one member, and at most one standby, which is another; 2. the same members in any order
 * give the same answer; 3. a slot stays where it runs unless a move makes the load more even: moving costs its state a replay.
 */

/** What a member says of itself to whoever assigns. */
export interface MemberNote {
  readonly threads: number
  /** Slots that it runs now. */
  readonly running: readonly number[]
  /** Slots that it follows now. */
  readonly following: readonly number[]
  /** Slots whose state lies on its disk, with the epoch that the state reflects. */
  readonly stored: ReadonlyMap<number, number>
  /** 0: it follows none. */
  readonly standbys: number
  /** The plan that it is for (docs/decisions/0016), and that plan's slots. */
  readonly plan: number
  readonly slots: number
  /** It closes the plan: it is given every slot of it, and nobody is given any other part. */
  readonly closes: boolean
}

export interface GroupMember extends MemberNote {
  readonly id: string
}

/** What a member is given: slots to run, slots to follow; both ascending. */
export interface Assigned {
  readonly slots: readonly number[]
  readonly standbys: readonly number[]
}

/** Who is given anything at all, and of how many slots: whoever closes the newest plan, else all members that are for it. */
export function eligible(members: readonly GroupMember[]): {
  readonly members: readonly GroupMember[]
  readonly slots: number
} {
  const plan = Math.max(...members.map(member => member.plan))
  const newest = inOrder(members).filter(member => member.plan === plan)
  const closer = newest.find(({ closes }) => closes)
  return { members: closer === undefined ? newest : [closer], slots: newest[0]?.slots ?? 0 }
}

/** @returns for each member's id its slots, ascending */
export function assignSlots(members: readonly GroupMember[], slots: number): ReadonlyMap<string, readonly number[]> {
  const loads = inOrder(members).map(member => new Load(member))
  if (loads.length === 0) return new Map()
  for (let slot = 0; slot < slots; slot++) (runningAt(loads, slot) ?? bestFor(loads, slot)!).slots.add(slot)
  while (evenOut(loads)) {}
  return new Map(loads.map(({ member, slots: taken }) => [member.id, [...taken].sort((a, b) => a - b)]))
}

/**
 * A standby for each slot where there is a member for it. It stays where the slot is hot (run or followed there until now), goes
 * else to who has the newest state of it, and among equals to who has the least to do.
 * @param owned as `assignSlots` gave them
 * @returns for each member's id the slots that it follows, ascending
 */
export function assignStandbys(
  members: readonly GroupMember[],
  owned: ReadonlyMap<string, readonly number[]>,
): ReadonlyMap<string, readonly number[]> {
  const loads = inOrder(members).map(member => new Load(member, owned.get(member.id)))
  const isOwner = ({ member }: Load, slot: number): boolean => owned.get(member.id)?.includes(slot) === true
  const able = (slot: number): readonly Load[] => loads.filter(load => load.member.standbys > 0 && !isOwner(load, slot))
  const standbyOf = new Map<number, Load>()
  for (const slot of [...owned.values()].flat().sort((a, b) => a - b)) {
    const best = bestFor(able(slot), slot)
    best?.slots.add(slot)
    if (best !== undefined) standbyOf.set(slot, best)
  }
  const move = (slot: number, from: Load): boolean => {
    if (from.isHot(slot) || from.epochOf(slot) >= 0) return false
    const to = greatest(able(slot), load => -load.with(1))
    if (to === undefined || to.with(1) >= from.with(0)) return false
    from.slots.delete(slot)
    to.slots.add(slot)
    standbyOf.set(slot, to)
    return true
  }
  while ([...standbyOf].some(([slot, from]) => move(slot, from))) {}
  return new Map(
    loads.map(({ member, slots }) => [
      member.id,
      [...slots].filter(slot => !owned.get(member.id)?.includes(slot)).sort((a, b) => a - b),
    ]),
  )
}

const inOrder = (members: readonly GroupMember[]): readonly GroupMember[] =>
  [...members].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))

class Load {
  readonly member: GroupMember
  readonly slots: Set<number>

  constructor(member: GroupMember, slots: readonly number[] = []) {
    this.member = member
    this.slots = new Set(slots)
  }

  isHot(slot: number): boolean {
    return this.member.running.includes(slot) || this.member.following.includes(slot)
  }

  /** Slots a thread, if it had `more` of them. */
  with(more: number): number {
    return (this.slots.size + more) / Math.max(1, this.member.threads)
  }

  epochOf(slot: number): number {
    return this.member.stored.get(slot) ?? -1
  }
}

/** Two may think that they run it, after a time-out: the one that is further on. */
function runningAt(loads: readonly Load[], slot: number): Load | undefined {
  return greatest(
    loads.filter(load => load.member.running.includes(slot)),
    load => load.epochOf(slot),
  )
}

/** Its standby; without one the member with the newest state of the slot; among equals the one with the least to do. */
function bestFor(loads: readonly Load[], slot: number): Load | undefined {
  return greatestBy(loads, [load => (load.isHot(slot) ? 1 : 0), load => load.epochOf(slot), load => -load.with(1)])
}

/** Moves one slot from who has most to who has least, if both are then no worse off than before. */
function evenOut(loads: readonly Load[]): boolean {
  const most = greatest(loads, load => load.with(-1))!
  const least = greatest(loads, load => -load.with(1))!
  if (most === least || least.with(1) > most.with(-1)) return false
  const moving = greatestBy([...most.slots], [slot => (least.isHot(slot) ? 1 : 0), slot => least.epochOf(slot)])!
  most.slots.delete(moving)
  least.slots.add(moving)
  return true
}

/** The first of the greatest by the first measure; among equals by the next. */
function greatestBy<T>(items: readonly T[], measures: readonly ((item: T) => number)[]): T | undefined {
  let left = items
  for (const of of measures) {
    const most = Math.max(...left.map(of))
    left = left.filter(item => of(item) === most)
  }
  return left[0]
}

/** The first of the greatest. */
function greatest<T>(items: readonly T[], of: (item: T) => number): T | undefined {
  let found: T | undefined
  for (const item of items) if (found === undefined || of(item) > of(found)) found = item
  return found
}
