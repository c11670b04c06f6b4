/**
 * Changes of events' fraud states that lie ahead of their key's time: (available_at, event time, +1 or -1), ascending by
 * available_at. The nearest lie in the root, the rest in pages, which are read when time or a new change reaches them.
 *
 * Invariants: 1. near ends at or before the first page begins, pages follow each other; 2. `prepare…` loads what the
 * mutation of the same name will touch; 3. order among equal available_at does not matter: changes add up.
 */
import type { ByteReader, ByteWriter } from '../../kernel/index.js'
import type { PageSource, PageWriter } from '../../state/index.js'

export interface Transition {
  readonly availableAt: number
  readonly time: number
  readonly change: number
}

interface FarPage {
  readonly id: number
  first: number
  /** undefined while not in memory. */
  changes: Transition[] | undefined
  dirty: boolean
}

const transitionBytes = 56
const pageName = (id: number): string => `t${id}`

export class Transitions {
  readonly #max: number
  readonly #source: PageSource
  #near: Transition[] = []
  #far: FarPage[] = []
  #nextPage = 0
  readonly #dead: number[] = []

  constructor(max: number, source: PageSource) {
    this.#max = max
    this.#source = source
  }

  /** The earliest available_at; Infinity when there is none. */
  get next(): number {
    return this.#near.length > 0 ? this.#near[0]!.availableAt : (this.#far[0]?.first ?? Number.POSITIVE_INFINITY)
  }

  get bytesInMemory(): number {
    let count = this.#near.length
    for (let i = 0; i < this.#far.length; i++) count += 1 + (this.#far[i]!.changes?.length ?? 0)
    return count * transitionBytes
  }

  /** Calls `visit` for each change with available_at <= to. Reads only. @throws StateMiss */
  visit(to: number, visit: (transition: Transition) => void): void {
    for (const transition of this.#near) {
      if (transition.availableAt > to) return
      visit(transition)
    }
    for (const page of this.#far) {
      if (page.first > to) return
      for (const transition of this.#changes(page)) {
        if (transition.availableAt > to) return
        visit(transition)
      }
    }
  }

  /** Removes those with available_at <= to; `visit(to)` has loaded them. */
  pop(to: number): void {
    while (this.#far.length > 0 && this.#far[0]!.first <= to) {
      const page = this.#far.shift()!
      this.#near.push(...this.#changes(page))
      this.#dead.push(page.id)
    }
    let gone = 0
    while (gone < this.#near.length && this.#near[gone]!.availableAt <= to) gone++
    if (gone > 0) this.#near.splice(0, gone)
  }

  /** @throws StateMiss */
  prepareAdd(availableAt: number): void {
    const page = this.#pageFor(availableAt)
    if (page) this.#changes(page)
  }

  add(transition: Transition): void {
    const page = this.#pageFor(transition.availableAt)
    if (page) {
      const changes = this.#changes(page)
      insertSorted(changes, transition)
      page.dirty = true
      if (changes.length > 2 * this.#max) {
        this.#far.splice(this.#far.indexOf(page) + 1, 0, this.#create(changes.splice(this.#max)))
      }
      return
    }
    insertSorted(this.#near, transition)
    if (this.#near.length > this.#max) this.#far.unshift(this.#create(this.#near.splice(this.#max >> 1)))
  }

  /** Drops what can be read again. */
  trim(): void {
    for (const page of this.#far) if (!page.dirty) page.changes = undefined
  }

  savePages(to: PageWriter): void {
    for (const id of this.#dead) to.deletePage(pageName(id))
    this.#dead.length = 0
    for (const page of this.#far) {
      if (!page.dirty) continue
      to.page(pageName(page.id), into => saveChanges(page.changes!, into))
      page.dirty = false
    }
  }

  saveRoot(into: ByteWriter): void {
    saveChanges(this.#near, into)
    into.varint(this.#nextPage)
    into.varint(this.#far.length)
    for (const page of this.#far) {
      into.varint(page.id)
      into.zigzag(page.first)
    }
  }

  loadRoot(from: ByteReader): void {
    this.#near = loadChanges(from)
    this.#nextPage = from.varint()
    for (let left = from.varint(); left > 0; left--) {
      const id = from.varint()
      this.#far.push({ id, first: from.zigzag(), changes: undefined, dirty: false })
    }
  }

  /** The page that a change belongs in; undefined: near. */
  #pageFor(availableAt: number): FarPage | undefined {
    let i = this.#far.length - 1
    while (i >= 0 && this.#far[i]!.first > availableAt) i--
    return this.#far[i]
  }

  #changes(page: FarPage): Transition[] {
    page.changes ??= loadChanges(this.#source.page(pageName(page.id)))
    return page.changes
  }

  #create(changes: Transition[]): FarPage {
    return { id: this.#nextPage++, first: changes[0]!.availableAt, changes, dirty: true }
  }
}

function insertSorted(changes: Transition[], transition: Transition): void {
  let i = changes.length
  while (i > 0 && changes[i - 1]!.availableAt > transition.availableAt) i--
  changes.splice(i, 0, transition)
}

function saveChanges(changes: readonly Transition[], into: ByteWriter): void {
  into.varint(changes.length)
  let before = 0
  for (const { availableAt, time, change } of changes) {
    into.zigzag(availableAt - before)
    into.zigzag(availableAt - time)
    into.zigzag(change)
    before = availableAt
  }
}

function loadChanges(from: ByteReader): Transition[] {
  const changes: Transition[] = []
  let before = 0
  for (let left = from.varint(); left > 0; left--) {
    const availableAt = before + from.zigzag()
    const time = availableAt - from.zigzag()
    changes.push({ availableAt, time, change: from.zigzag() })
    before = availableAt
  }
  return changes
}
