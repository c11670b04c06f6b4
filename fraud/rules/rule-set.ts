/**
 * A rule set is data: lists of customers and terminals, and rules that are conditions with an outcome. Parsed and
 * checked once, when it is loaded.
 */
import { repositoryFile } from '../../kernel/index.js'
import type { Outcome } from '../../schemas/avro/index.js'
import { type JsonNode, parseJsonDocument, readJsonDocument } from '../documents/index.js'
import { type Condition, parseCondition } from './conditions.js'

const rulesMax = 256
const listEntriesMax = 100_000

export interface EntityLists {
  readonly customers: ReadonlySet<string>
  readonly terminals: ReadonlySet<string>
}

export interface Rule {
  readonly rule_id: string
  readonly version: number
  readonly description: string
  /** `approve` never decides by itself (the precedence has no approving rule); such a rule only adjusts the score. */
  readonly outcome: Outcome
  /** Reason code and its text, for the decision. */
  readonly code: string
  readonly text: string
  readonly when: Condition
  /** Added to the model's score when the rule hits, -1 to 1; 0 where the rule adjusts nothing. */
  readonly add: number
}

export interface RuleSet {
  readonly ruleset_version: string
  readonly lists: { readonly block: EntityLists; readonly allow: EntityLists }
  readonly rules: readonly Rule[]
}

function parseLists(node: JsonNode): EntityLists {
  node.object(['customers', 'terminals'])
  const ids = (name: string) =>
    new Set(
      node
        .get(name)
        .items(listEntriesMax)
        .map(id => id.text()),
    )
  return { customers: ids('customers'), terminals: ids('terminals') }
}

function parseRule(node: JsonNode): Rule {
  node.object(['rule_id', 'version', 'description', 'outcome', 'code', 'text', 'when', 'adjust'])
  return {
    rule_id: node.get('rule_id').text(/^[a-z0-9][a-z0-9-]{0,63}$/),
    version: node.get('version').integer(1, 1_000_000_000),
    description: node.get('description').text(),
    outcome: node.get('outcome').oneOf<Outcome>(['decline', 'review', 'approve']),
    code: node.get('code').text(/^[A-Z][A-Z0-9_]{0,63}$/),
    text: node.get('text').text(),
    when: parseCondition(node.get('when')),
    add: node.optional('adjust')?.object(['add']).get('add').number(-1, 1) ?? 0,
  }
}

function ruleSetOf(root: JsonNode): RuleSet {
  root.object(['ruleset_version', 'lists', 'rules'])
  const lists = root.get('lists').object(['block', 'allow'])
  const seen = new Set<string>()
  const rules = root
    .get('rules')
    .items(rulesMax)
    .map(node => {
      const rule = parseRule(node)
      if (seen.has(rule.rule_id)) node.get('rule_id').fail(`repeats ${rule.rule_id}`)
      seen.add(rule.rule_id)
      return rule
    })
  return {
    ruleset_version: root.get('ruleset_version').text(),
    lists: { block: parseLists(lists.get('block')), allow: parseLists(lists.get('allow')) },
    rules,
  }
}

/** @throws WeirError INVALID_RULES with the JSON path of the mistake */
export function parseRuleSet(text: string, document = 'rule set'): RuleSet {
  return ruleSetOf(parseJsonDocument(text, document, 'INVALID_RULES'))
}

/** @throws WeirError INPUT_UNREADABLE, INVALID_RULES */
export function loadRuleSet(path: string): RuleSet {
  return ruleSetOf(readJsonDocument(path, 'INVALID_RULES'))
}

/** The bundled rules. */
export function defaultRuleSet(): RuleSet {
  return loadRuleSet(repositoryFile('fraud/rules/default-rules.json'))
}
