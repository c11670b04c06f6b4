/**
 * Where the terminals stand: a square of 100 by 100 units, cut into cells no narrower than the radius, so that all
 * terminals within the radius of a point lie in the 3 x 3 cells around it. Memory is one entry a terminal, whatever the
 * number of customers: a customer's terminals are looked up when it pays, not kept.
 */
import { Purpose, type Random } from './random.js'

export const worldSide = 100
const cellsPerSideMax = 256

export class TerminalMap {
  readonly #radius: number
  readonly #cells: number
  /** Terminals of cell c are `#ids[#starts[c]] .. #ids[#starts[c + 1] - 1]`, ascending; coordinates in the same order. */
  readonly #starts: Int32Array
  readonly #ids: Int32Array
  readonly #x: Float64Array
  readonly #y: Float64Array

  constructor(seed: number, count: number, radius: number, random: Random) {
    this.#radius = radius
    this.#cells = Math.min(cellsPerSideMax, Math.max(1, Math.floor(worldSide / radius)))
    const cellOf = new Int32Array(count)
    const x = new Float64Array(count)
    const y = new Float64Array(count)
    this.#starts = new Int32Array(this.#cells * this.#cells + 1)
    for (let id = 0; id < count; id++) {
      random.restart(seed, Purpose.terminal, id, 0)
      x[id] = random.unit() * worldSide
      y[id] = random.unit() * worldSide
      const cell = this.#axis(x[id]!) * this.#cells + this.#axis(y[id]!)
      cellOf[id] = cell
      this.#starts[cell + 1]!++
    }
    for (let cell = 0; cell < this.#cells * this.#cells; cell++) this.#starts[cell + 1]! += this.#starts[cell]!
    const next = this.#starts.slice()
    this.#ids = new Int32Array(count)
    this.#x = new Float64Array(count)
    this.#y = new Float64Array(count)
    for (let id = 0; id < count; id++) {
      const at = next[cellOf[id]!]!++
      this.#ids[at] = id
      this.#x[at] = x[id]!
      this.#y[at] = y[id]!
    }
  }

  /** Writes the terminals nearer than the radius to `into` (room for every terminal). @returns how many */
  near(x: number, y: number, into: Int32Array): number {
    const column = this.#axis(x)
    const row = this.#axis(y)
    const limit = this.#radius * this.#radius
    let found = 0
    for (let i = Math.max(0, column - 1); i <= Math.min(this.#cells - 1, column + 1); i++) {
      // The cells of one column lie side by side: one run of entries covers its (up to) three rows.
      const from = this.#starts[i * this.#cells + Math.max(0, row - 1)]!
      const to = this.#starts[i * this.#cells + Math.min(this.#cells - 1, row + 1) + 1]!
      for (let at = from; at < to; at++) {
        const dx = this.#x[at]! - x
        const dy = this.#y[at]! - y
        if (dx * dx + dy * dy < limit) into[found++] = this.#ids[at]!
      }
    }
    return found
  }

  #axis(position: number): number {
    return Math.min(this.#cells - 1, Math.floor((position / worldSide) * this.#cells))
  }
}
