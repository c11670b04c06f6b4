export { DecisionEncoder, type DecisionEncoderOptions } from './decision-json.js'
