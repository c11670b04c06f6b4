export { type ListedAs, RuleEvaluator, type RuleMatch } from './evaluator.js'
export { defaultRuleSet, type EntityLists, loadRuleSet, parseRuleSet, type Rule, type RuleSet } from './rule-set.js'
