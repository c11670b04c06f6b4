/** A binary heap of timers by (time, key bytes). It may hold a timer twice, or one that is gone: its user checks. */
import { compareUtf8 } from './order.js'

interface Node {
  readonly at: number
  readonly key: string
}

const before = (a: Node, b: Node): boolean => a.at < b.at || (a.at === b.at && compareUtf8(a.key, b.key) < 0)

export class TimerHeap {
  #nodes: Node[] = []

  get size(): number {
    return this.#nodes.length
  }

  first(): Node | undefined {
    return this.#nodes[0]
  }

  push(at: number, key: string): void {
    const nodes = this.#nodes
    const node = { at, key }
    let i = nodes.length
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(node, nodes[parent]!)) break
      nodes[i] = nodes[parent]!
      i = parent
    }
    nodes[i] = node
  }

  pop(): void {
    const last = this.#nodes.pop()
    if (last !== undefined && this.#nodes.length > 0) this.#sink(last, 0)
  }

  rebuild(from: Iterable<Node>): void {
    this.#nodes = [...from]
    for (let i = (this.#nodes.length >> 1) - 1; i >= 0; i--) this.#sink(this.#nodes[i]!, i)
  }

  /** Places `node` at `i` or below. */
  #sink(node: Node, i: number): void {
    const nodes = this.#nodes
    let at = i
    for (;;) {
      let child = 2 * at + 1
      if (child >= nodes.length) break
      if (child + 1 < nodes.length && before(nodes[child + 1]!, nodes[child]!)) child++
      if (!before(nodes[child]!, node)) break
      nodes[at] = nodes[child]!
      at = child
    }
    nodes[at] = node
  }
}
