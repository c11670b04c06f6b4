/**
 * Which member of the group runs which slot: a pure function of what the members say of themselves.
 *
 * Invariants: 1. every slot has exactly one member; 2. the same members in any order give the same answer; 3. a slot stays
 * where it runs unless a move makes the load more even: moving costs its state a replay.
 */
export interface GroupMember {
  readonly id: string
  readonly threads: number
  /** Slots that it runs now. */
  readonly running: readonly number[]
  /** Slots whose state lies on its disk, with the epoch that the state reflects. */
  readonly stored: ReadonlyMap<number, number>
}

/** @returns for each member's id its slots, ascending */
export function assignSlots(members: readonly GroupMember[], slots: number): ReadonlyMap<string, readonly number[]> {
  const ordered = [...members].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  const loads = ordered.map(member => new Load(member))
  if (loads.length === 0) return new Map()
  for (let slot = 0; slot < slots; slot++) (runningAt(loads, slot) ?? bestFor(loads, slot)).slots.add(slot)
  while (evenOut(loads)) {}
  return new Map(loads.map(({ member, slots: taken }) => [member.id, [...taken].sort((a, b) => a - b)]))
}

class Load {
  readonly member: GroupMember
  readonly slots = new Set<number>()

  constructor(member: GroupMember) {
    this.member = member
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

/** The member with the newest state of the slot; among equals the one with the least to do. */
function bestFor(loads: readonly Load[], slot: number): Load {
  const newest = Math.max(...loads.map(load => load.epochOf(slot)))
  return greatest(
    loads.filter(load => load.epochOf(slot) === newest),
    load => -load.with(1),
  )!
}

/** Moves one slot from who has most to who has least, if both are then no worse off than before. */
function evenOut(loads: readonly Load[]): boolean {
  const most = greatest(loads, load => load.with(-1))!
  const least = greatest(loads, load => -load.with(1))!
  if (most === least || least.with(1) > most.with(-1)) return false
  const moving = greatest([...most.slots], slot => least.epochOf(slot))!
  most.slots.delete(moving)
  least.slots.add(moving)
  return true
}

/** The first of the greatest. */
function greatest<T>(items: readonly T[], of: (item: T) => number): T | undefined {
  let found: T | undefined
  for (const item of items) if (found === undefined || of(item) > of(found)) found = item
  return found
}
