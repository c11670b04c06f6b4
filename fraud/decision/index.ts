export { DecisionEncoder, type DecisionEncoderOptions } from './decision-json.js'
export { explainDecision } from './explain.js'
export { decisionFromJson } from './from-json.js'
