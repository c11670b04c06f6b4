export { createDecide, type Decide, type DeciderOptions, type ScoredRow } from './decide.js'
export { decisionIds } from './decision-id.js'
export { defaultPolicy, loadPolicy, type Policy, parsePolicy } from './policy.js'
export { type FeatureImpact, reasonCodesMax } from './reasons.js'
