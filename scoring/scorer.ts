/**
 * Scores an epoch's rows in chunks: fill the session's input, run, take the scores, next chunk.
 *
 * Invariants:
 * 1. A score does not depend on the chunk that its row fell into (one thread; proved for the bundled model by its test).
 * 2. Promises, tensors and closures are per chunk, never per row.
 * 3. A run that throws degrades its chunk, an output that is no probability its row; the others are scored.
 */
import { performance } from 'node:perf_hooks'
import { assert, messageOf, WeirError } from '../kernel/index.js'
import type { Row } from '../operators/index.js'
import { type ModelContract, readModel } from './contract.js'
import { allScored, type Explanation, type Model, type ScoreReport } from './model.js'
import { ModelSession, rowsPerRunMax, type SessionOptions } from './session.js'

export interface ScorerOptions extends SessionOptions {
  /** Rows a run, 1 to 1,024; default 64 until `warmUp` has measured. */
  readonly chunkRows?: number
  /** A clock for `warmUp`, ms with fractions. Its readings choose the chunk, which no score depends on. */
  readonly nowMs?: () => number
}

export const chunkCandidates: readonly number[] = [16, 32, 64, 128, 256, 512, 1_024]
const chunkRowsDefault = 64
const warmUpRepeats = 5

export class Scorer implements Model {
  readonly contract: ModelContract
  readonly #session: ModelSession
  readonly #nowMs: () => number
  #chunkRows: number
  #busy = false

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
    this.#nowMs = options.nowMs ?? (() => performance.now())
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
   * Runs made-up rows through every candidate chunk and keeps the one with the least median time a row. Takes a few
   * tens of milliseconds, and pays for the runtime's first-run work as well.
   * @throws WeirError MODEL_FAILED when the model cannot score them: better at the start than in traffic
   */
  async warmUp(): Promise<void> {
    this.#enter()
    try {
      const input = this.#session.input
      for (let i = 0; i < input.length; i++) input[i] = ((i * 7_919) % 1_009) / 4
      await this.#session.run(rowsPerRunMax)
      let best = Number.POSITIVE_INFINITY
      for (const chunk of chunkCandidates) {
        const medianMs = await this.#medianTime(chunk)
        if (medianMs >= best) continue
        best = medianMs
        this.#chunkRows = chunk
      }
    } catch (error) {
      throw this.#failure(error)
    } finally {
      this.#busy = false
    }
  }

  async score(rows: readonly Row[], columns: Int32Array): Promise<ScoreReport> {
    assert(columns.length === this.#session.featureCount, 'one column for each feature of the model')
    this.#enter()
    const { output, outputStride, outputOffset } = this.#session
    let failedRows = 0
    let error: WeirError | null = null
    try {
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
    } finally {
      this.#busy = false
    }
    return failedRows === 0 ? allScored : { failedRows, error }
  }

  async explain(rows: readonly Row[], columns: Int32Array): Promise<Explanation> {
    const width = this.#session.featureCount
    assert(columns.length === width, 'one column for each feature of the model')
    this.#enter()
    const { output, outputStride, outputOffset } = this.#session
    // For each row: as it is (variant 0), then with each feature in turn at its reference.
    const variants = width + 1
    const scores = new Float64Array(rows.length * variants)
    let error: WeirError | null = null
    try {
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
    } finally {
      this.#busy = false
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

  async close(): Promise<void> {
    this.#enter()
    await this.#session.close()
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

  async #medianTime(chunk: number): Promise<number> {
    const times: number[] = []
    for (let repeat = 0; repeat < warmUpRepeats; repeat++) {
      const start = this.#nowMs()
      for (let rows = 0; rows < rowsPerRunMax; rows += chunk) await this.#session.run(chunk)
      times.push(this.#nowMs() - start)
    }
    return times.sort((a, b) => a - b)[warmUpRepeats >> 1]!
  }

  /** The session's memory is shared by all calls: two at a time would score each other's rows. */
  #enter(): void {
    assert(!this.#busy, 'one call of a scorer at a time')
    this.#busy = true
  }

  #failure(error: unknown): WeirError {
    return new WeirError('MODEL_FAILED', `model ${this.contract.modelId}: ${messageOf(error)}`, { cause: error })
  }
}
