/** A small paged object for tests: numbers in pages of four, with the last ones in the root; it expires by event time. */
import { type ByteReader, type EventTimeMs, eventTime } from '../../kernel/index.js'
import type { Description, PagedCodec, PagedObject, PageSource, PageWriter, StoredPages } from '../handles.js'

const pageSize = 4

export class EventLog implements PagedObject {
  readonly #pages: PageSource
  readonly #cached = new Map<number, readonly number[]>()
  #unsaved: { readonly index: number; readonly items: readonly number[] }[] = []
  #pageCount = 0
  #head: number[] = []
  #expiresAt = Number.NEGATIVE_INFINITY

  constructor(pages: PageSource, root?: ByteReader) {
    this.#pages = pages
    if (root === undefined) return
    this.#pageCount = root.varint()
    this.#expiresAt = root.f64()
    for (let left = root.varint(); left > 0; left--) this.#head.push(root.varint())
  }

  get bytesInMemory(): number {
    return 100 + 8 * (this.#head.length + pageSize * (this.#cached.size + this.#unsaved.length))
  }

  get pageCount(): number {
    return this.#pageCount
  }

  get head(): readonly number[] {
    return this.#head
  }

  /** @throws StateMiss */
  page(index: number): readonly number[] {
    const known = this.#cached.get(index) ?? this.#unsaved.find(page => page.index === index)?.items
    if (known !== undefined) return known
    const items = itemsOf(this.#pages.page(String(index)))
    this.#cached.set(index, items)
    return items
  }

  /** All items; pages that were never saved are in memory. */
  async inspect(pages: StoredPages): Promise<Description> {
    const items: number[] = []
    for (let index = 0; index < this.#pageCount; index++) {
      const unsaved = this.#unsaved.find(page => page.index === index)?.items
      items.push(...(unsaved ?? itemsOf((await pages.read([String(index)]))[0]!)))
    }
    return { value: [...items, ...this.#head] }
  }

  append(item: number, expiresAt: number): void {
    this.#expiresAt = expiresAt
    this.#head.push(item)
    if (this.#head.length < pageSize) return
    this.#unsaved.push({ index: this.#pageCount++, items: this.#head })
    this.#head = []
  }

  save(to: PageWriter): void {
    for (const { index, items } of this.#unsaved) {
      to.page(String(index), into => {
        into.varint(items.length)
        for (const item of items) into.varint(item)
      })
    }
    this.#unsaved = []
    to.root(into => {
      into.varint(this.#pageCount)
      into.f64(this.#expiresAt)
      into.varint(this.#head.length)
      for (const item of this.#head) into.varint(item)
    })
  }

  trim(): void {
    this.#cached.clear()
  }

  expiresAt(): EventTimeMs {
    return eventTime(this.#expiresAt)
  }
}

function itemsOf(page: ByteReader): number[] {
  const items: number[] = []
  for (let left = page.varint(); left > 0; left--) items.push(page.varint())
  return items
}

export const eventLogCodec: PagedCodec<EventLog> = {
  name: 'event-log',
  version: 1,
  create: pages => new EventLog(pages),
  load: (root, pages) => new EventLog(pages, root),
  inspect: (log, pages) => log.inspect(pages),
}
