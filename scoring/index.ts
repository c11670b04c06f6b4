export { featureColumns, type ModelContract, type ModelFile, parseModelContract, readModel } from './contract.js'
export { type Explanation, type Model, noModel, type ScoreReport } from './model.js'
export { chunkCandidates, Scorer, type ScorerOptions } from './scorer.js'
export { rowsPerRunMax, type SessionOptions } from './session.js'
