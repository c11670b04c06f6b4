export { decisionFromAvro, decisionFromJson, decisionLines, explainDecision } from './decision/index.js'
export { decisionAvroFormat, decisionFormat } from './decision-format.js'
export { defaultFeatureSet, type FeatureSet, loadFeatureSet } from './features/index.js'
export * from './generate/index.js'
export { defaultPolicy, loadPolicy, type Policy } from './policy/index.js'
export { type ProvisionalDecision, provisionalDecisions } from './provisional.js'
export { defaultRuleSet, loadRuleSet, type RuleSet } from './rules/index.js'
export {
  championModel,
  dedupeHorizon,
  defaultTopology,
  type FraudOptions,
  fraudTopology,
  repeatFormat,
  repeatsTopicOf,
} from './topology.js'
