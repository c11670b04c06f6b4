/** The policy is data: which adjusted score leads to which outcome and risk level, and what happens without a score. */
import { repositoryFile } from '../../kernel/index.js'
import type { Outcome } from '../../schemas/avro/index.js'
import { type JsonNode, parseJsonDocument, readJsonDocument } from '../documents/index.js'

export interface Policy {
  readonly policy_version: string
  /** Outcomes by adjusted score, 0 to 1; each threshold belongs to the outcome that it names. */
  readonly thresholds: { readonly review: number; readonly decline: number }
  /** Risk levels by adjusted score, likewise. */
  readonly risk_levels: { readonly elevated: number; readonly highest: number }
  /** The outcome where no list, no rule and no score decides. */
  readonly default_outcome: Outcome
}

/** Two shares of which the second is not below the first. */
function parseSteps<A extends string, B extends string>(node: JsonNode, low: A, high: B): Record<A | B, number> {
  const first = node.object([low, high]).get(low).number(0, 1)
  const second = node.get(high).number(0, 1)
  if (second < first) node.get(high).fail(`must not be below ${low}`)
  return { [low]: first, [high]: second } as Record<A | B, number>
}

function policyOf(root: JsonNode): Policy {
  root.object(['policy_version', 'thresholds', 'risk_levels', 'default_outcome'])
  return {
    policy_version: root.get('policy_version').text(),
    thresholds: parseSteps(root.get('thresholds'), 'review', 'decline'),
    risk_levels: parseSteps(root.get('risk_levels'), 'elevated', 'highest'),
    default_outcome: root.get('default_outcome').oneOf<Outcome>(['approve', 'review', 'decline']),
  }
}

/** @throws WeirError INVALID_POLICY with the JSON path of the mistake */
export function parsePolicy(text: string, document = 'policy'): Policy {
  return policyOf(parseJsonDocument(text, document, 'INVALID_POLICY'))
}

/** @throws WeirError INPUT_UNREADABLE, INVALID_POLICY */
export function loadPolicy(path: string): Policy {
  return policyOf(readJsonDocument(path, 'INVALID_POLICY'))
}

/** The bundled policy. */
export function defaultPolicy(): Policy {
  return loadPolicy(repositoryFile('fraud/policy/default-policy.json'))
}
