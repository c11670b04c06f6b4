/**
 * The seam between the slot and whatever scores: the ONNX scorer, no model at all, or a test's model that fails.
 *
 * Invariants: a model never throws for what it was given, and never loses a row: a row that it could not score keeps
 * score NaN, is counted in the report, and goes out as a degraded decision (I7). Scores never enter state (I3).
 */
import type { Row } from '../operators/index.js'
import type { ModelContract } from './contract.js'

export interface ScoreReport {
  /** Rows whose score is NaN because the model failed for them. */
  readonly failedRows: number
  /** The first failure, MODEL_FAILED; null exactly when `failedRows` is 0. */
  readonly error: Error | null
}

export interface Explanation extends ScoreReport {
  /**
   * Row-major, one value a row and feature of the contract: the score less the score with that feature at its
   * reference. Above 0: this value speaks for fraud. NaN where the model failed.
   */
  readonly impacts: Float64Array
}

export interface Model {
  /** null for `noModel`: then no decision names a model, and no score is no failure. */
  readonly contract: ModelContract | null
  readonly featureNames: readonly string[]
  /**
   * Fills `row.score`: the probability in 0..1, or NaN. Calls run one after the other; leave the rows alone meanwhile.
   * @param columns from `featureColumns`: entry i is the place of feature i in `row.features`
   */
  score(rows: readonly Row[], columns: Int32Array): Promise<ScoreReport>
  /** Costs (features + 1) scorings a row: for the decisions that need reasons. Leaves `row.score` alone. */
  explain(rows: readonly Row[], columns: Int32Array): Promise<Explanation>
  close(): Promise<void>
}

export const allScored: ScoreReport = Object.freeze({ failedRows: 0, error: null })

/** `--model none`: every score stays NaN, and nothing is degraded. */
export const noModel: Model = Object.freeze({
  contract: null,
  featureNames: [],
  async score(rows: readonly Row[]): Promise<ScoreReport> {
    for (const row of rows) row.score = Number.NaN
    return allScored
  },
  async explain(): Promise<Explanation> {
    return { ...allScored, impacts: new Float64Array(0) }
  },
  async close(): Promise<void> {},
})
