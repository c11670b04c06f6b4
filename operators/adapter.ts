/**
 * Bridges the value level (`Output<Out>.emit`) to the row level (`RowOutput.push`).
 *
 * Invariant: an operator that is called again after `false` must not emit twice what went out the first time; the
 * adapter counts what got through for the current record and swallows that many on the next call.
 */
import type { Output, Row, RowOutput, StepContext } from './contract.js'

export class OutputAdapter<Out> implements Output<Out> {
  readonly #context: StepContext
  #row: Row | undefined
  #out: RowOutput | undefined
  #sent = 0
  #seen = 0

  constructor(context: StepContext) {
    this.#context = context
  }

  /** How many values of the current record are already out. */
  get resumeAt(): number {
    return this.#sent
  }

  /** @param row origin of what is emitted; the same row as last time continues an unfinished record */
  begin(row: Row, out: RowOutput): void {
    if (this.#row !== row) this.#sent = 0
    this.#row = row
    this.#out = out
    this.#seen = this.#sent
  }

  /** For operators that emit from the start again when they are called again. */
  rewind(): void {
    this.#seen = 0
  }

  emit(value: Out): boolean {
    if (this.#seen < this.#sent) {
      this.#seen++
      return true
    }
    if (!this.#out!.push(this.#context.derive(this.#row!, value))) return false
    this.#seen++
    this.#sent++
    return true
  }

  /** The current record is done. */
  finish(): void {
    this.#row = undefined
    this.#sent = 0
    this.#seen = 0
  }
}
