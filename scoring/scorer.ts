/**
 * Scores an epoch's rows in chunks: fill the session's input, run, take the scores, next chunk.
 *
 * Invariants:
 * 1. A score does not depend on the chunk that its row fell into (one thread; proved for the bundled model by its test).
 * 2. Promises, tensors and closures are per chunk, never per row.
 * 3. A run that throws degrades its chunk, an output that is no probability its row; the others are scored.
 */
import { assert, messageOf, WeirError } from '../kernel/index.js'
import type { Row } from '../operators/index.js'
import { type ModelContract, readModel } from './contract.js'
import { allScored, type Explanation, type Model, type ScoreReport } from './model.js'
import { ModelSession, rowsPerRunMax, type SessionOptions } from './session.js'

export interface ScorerOptions extends SessionOptions {
  /** Rows a run, 1 to 1,024; default 256 until `warmUp` has measured. */
  readonly chunkRows?: number
}

export const chunkCandidates: readonly number[] = [64, 128, 256, 512, 1_024]
/** The bundled model, one pinned core: 11 us a row alone, 1.4 in chunks of 64, 1.2 from 128 to 1,024. */
const chunkRowsDefault = 256
const warmUpRepeats = 3

export class Scorer implements Model {
  readonly contract: ModelContract
  readonly #session: ModelSession
  #chunkRows: number
  /** Settles when the call before is done. */
  #last: Promise<unknown> = Promise.resolve()

  /**
   * @param path NAME.onnx, with NAME.json beside it
   * @throws WeirError UNKNOWN_MODEL when a file cannot be read, MODEL_CONTRACT when contract and model do not agree
   */
  static async open(path: string, options: ScorerOptions = {}): Promise<Scorer> {
    const file = await readModel(path)
    return new Scorer(file.contract, await ModelSession.open(file, options), options)
  }

  private constructor(contract: ModelContract, session: ModelSession, options: ScorerOptions) {
    const chunkRows = options.chunkRows ?? chunkRowsDefault
    assert(Number.isInteger(chunkRows) && chunkRows >= 1 && chunkRows <= rowsPerRunMax, 'chunkRows is 1 to 1024')
    this.contract = contract
    this.#session = session
    this.#chunkRows = chunkRows
  }

  get featureNames(): readonly string[] {
    return this.contract.features
  }

  /** Rows in one run. */
  get chunkRows(): number {
    return this.#chunkRows
  }

  /**
   * Runs made-up rows through the model, which pays for the runtime's first-run work. With a clock, also through every
   * candidate chunk (about 20 ms for the bundled model), and keeps the one with the least median time.
   * @param nowMs ms with fractions, such as performance.now: it chooses the chunk, which no score depends on
   * @throws WeirError MODEL_FAILED when the model cannot score them: better at the start than in traffic
   */
  warmUp(nowMs?: () => number): Promise<void> {
    return this.#inTurn(() => this.#warmUp(nowMs))
  }

  score(rows: readonly Row[], columns: Int32Array): Promise<ScoreReport> {
    return this.#inTurn(() => this.#score(rows, columns))
  }

  explain(rows: readonly Row[], columns: Int32Array): Promise<Explanation> {
    return this.#inTurn(() => this.#explain(rows, columns))
  }

  close(): Promise<void> {
    return this.#inTurn(() => this.#session.close())
  }

  async #warmUp(nowMs: (() => number) | undefined): Promise<void> {
    try {
      const input = this.#session.input
      for (let i = 0; i < input.length; i++) input[i] = ((i * 7_919) % 1_009) / 4
      await this.#session.run(rowsPerRunMax)
      if (nowMs === undefined) return
      let best = Number.POSITIVE_INFINITY
      for (const chunk of chunkCandidates) {
        const medianMs = await this.#medianTime(chunk, nowMs)
        if (medianMs >= best) continue
        best = medianMs
        this.#chunkRows = chunk
      }
    } catch (error) {
      throw this.#failure(error)
    }
  }

  async #score(rows: readonly Row[], columns: Int32Array): Promise<ScoreReport> {
    assert(columns.length === this.#session.featureCount, 'one column for each feature of the model')
    const { output, outputStride, outputOffset } = this.#session
    let failedRows = 0
    let error: WeirError | null = null
    for (let from = 0; from < rows.length; from += this.#chunkRows) {
      const to = Math.min(rows.length, from + this.#chunkRows)
      for (let r = from, at = 0; r < to; r++) at = this.#fill(at, rows[r]!, columns, -1)
      const thrown = await this.#run(to - from)
      error ??= thrown
      for (let r = from, at = outputOffset; r < to; r++, at += outputStride) {
        const score = thrown === null ? output[at]! : Number.NaN
        const valid = score >= 0 && score <= 1
        rows[r]!.score = valid ? score : Number.NaN
        if (valid) continue
        failedRows++
        error ??= this.#failure(new Error(`its output is ${score}, not a probability`))
      }
    }
    return failedRows === 0 ? allScored : { failedRows, error }
  }

  async #explain(rows: readonly Row[], columns: Int32Array): Promise<Explanation> {
    const width = this.#session.featureCount
    assert(columns.length === width, 'one column for each feature of the model')
    const { output, outputStride, outputOffset } = this.#session
    // For each row: as it is (variant 0), then with each feature in turn at its reference.
    const variants = width + 1
    const scores = new Float64Array(rows.length * variants)
    let error: WeirError | null = null
    for (let from = 0; from < scores.length; from += this.#chunkRows) {
      const to = Math.min(scores.length, from + this.#chunkRows)
      for (let v = from, at = 0; v < to; v++) {
        at = this.#fill(at, rows[Math.floor(v / variants)]!, columns, (v % variants) - 1)
      }
      const thrown = await this.#run(to - from)
      error ??= thrown
      for (let v = from, at = outputOffset; v < to; v++, at += outputStride) {
        const score = thrown === null ? output[at]! : Number.NaN
        scores[v] = score >= 0 && score <= 1 ? score : Number.NaN
      }
    }
    const impacts = new Float64Array(rows.length * width)
    let failedRows = 0
    for (let r = 0; r < rows.length; r++) {
      let failed = false
      for (let f = 0; f < width; f++) {
        const impact = scores[r * variants]! - scores[r * variants + f + 1]!
        impacts[r * width + f] = impact
        failed ||= Number.isNaN(impact)
      }
      if (failed) failedRows++
    }
    if (failedRows > 0) error ??= this.#failure(new Error('an output is not a probability'))
    return { impacts, failedRows, error }
  }

  /** Writes one row's features to the input from `at` on; feature `withheld`, if any, at its reference. @returns the next place */
  #fill(at: number, row: Row, columns: Int32Array, withheld: number): number {
    const { input } = this.#session
    const { missing, reference } = this.contract
    const features = row.features
    for (let i = 0; i < columns.length; i++) {
      const value = i === withheld ? reference[i]! : features[columns[i]!]!
      input[at + i] = Number.isNaN(value) ? missing : value
    }
    return at + columns.length
  }

  /** @returns null, or why the run failed */
  async #run(rows: number): Promise<WeirError | null> {
    try {
      await this.#session.run(rows)
      return null
    } catch (error) {
      return this.#failure(error)
    }
  }

  async #medianTime(chunk: number, nowMs: () => number): Promise<number> {
    const times: number[] = []
    for (let repeat = 0; repeat < warmUpRepeats; repeat++) {
      const start = nowMs()
      for (let rows = 0; rows < rowsPerRunMax; rows += chunk) await this.#session.run(chunk)
      times.push(nowMs() - start)
    }
    return times.sort((a, b) => a - b)[warmUpRepeats >> 1]!
  }

  /** The session's memory is shared by all calls, so that they run one after the other: slots may share a scorer. */
  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const result = this.#last.then(call)
    // Whoever called hears of a failure; the next one in turn need not.
    this.#last = result.catch(() => undefined)
    return result
  }

  #failure(error: unknown): WeirError {
    return new WeirError('MODEL_FAILED', `model ${this.contract.modelId}: ${messageOf(error)}`, { cause: error })
  }
}
