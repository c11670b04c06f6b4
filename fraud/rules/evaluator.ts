/**
 * A compiled rule set.
 *
 * Invariants: 1. every rule is evaluated, in the order of the set; 2. a rule that throws is reported as a match with
 * its error, and the others go on; 3. a transaction that no rule hits costs no allocation.
 */
import { messageOf } from '../../kernel/index.js'
import type { Transaction } from '../../schemas/avro/index.js'
import { compileCondition, firstFeature, type Predicate } from './conditions.js'
import type { EntityLists, Rule, RuleSet } from './rule-set.js'

export interface RuleMatch {
  readonly rule: Rule
  /** The feature that the rule is about, and its column; null and -1 for a rule on fields alone. */
  readonly feature: string | null
  readonly column: number
  /** What went wrong in the rule; null when it hit. */
  readonly error: string | null
}

export type ListedAs = 'customer' | 'terminal'

const noMatches: readonly RuleMatch[] = Object.freeze([])

export class RuleEvaluator {
  readonly ruleSet: RuleSet
  readonly #predicates: readonly Predicate[]
  readonly #matches: readonly RuleMatch[]

  /**
   * @param featureNames the columns that `evaluate` is given, in their order
   * @throws WeirError UNKNOWN_FEATURE when a rule uses another
   */
  constructor(ruleSet: RuleSet, featureNames: readonly string[]) {
    this.ruleSet = ruleSet
    this.#predicates = ruleSet.rules.map(rule => compileCondition(rule.when, featureNames))
    this.#matches = ruleSet.rules.map(rule => {
      const feature = firstFeature(rule.when)
      return Object.freeze({
        rule,
        feature,
        column: feature === null ? -1 : featureNames.indexOf(feature),
        error: null,
      })
    })
  }

  /** The rules that hit, in the order of the set. @param features NaN where missing */
  evaluate(features: readonly number[], transaction: Transaction): readonly RuleMatch[] {
    const predicates = this.#predicates
    let matches: RuleMatch[] | undefined
    for (let i = 0; i < predicates.length; i++) {
      let match = this.#matches[i]!
      try {
        if (!predicates[i]!(features, transaction)) continue
      } catch (error) {
        match = { ...match, error: messageOf(error) }
      }
      matches ??= []
      matches.push(match)
    }
    return matches ?? noMatches
  }

  /** Which entity of the transaction is on the block list; the customer is looked up first. */
  blocked(transaction: Transaction): ListedAs | null {
    return listedIn(this.ruleSet.lists.block, transaction)
  }

  allowed(transaction: Transaction): ListedAs | null {
    return listedIn(this.ruleSet.lists.allow, transaction)
  }
}

function listedIn(lists: EntityLists, transaction: Transaction): ListedAs | null {
  if (lists.customers.size > 0 && lists.customers.has(transaction.customer_id)) return 'customer'
  if (lists.terminals.size > 0 && lists.terminals.has(transaction.terminal_id)) return 'terminal'
  return null
}
