/**
 * A feature set is data: which columns a transaction gets, in which order, with which windows. The topology is built
 * from it, models name its columns, decisions name its version.
 */
import { repositoryFile } from '../../kernel/index.js'
import { type JsonNode, parseJsonDocument, readJsonDocument } from '../documents/index.js'

const featuresMax = 256
const windowDaysMax = 366
const delayDaysMax = 366

const aggregates = ['count', 'mean_amount', 'sum_amount', 'fraud_share'] as const
export type VelocityAggregate = (typeof aggregates)[number]

/** An aggregate over an entity's transactions in (t - delay - window, t - delay], t being the event time. */
export interface VelocityFeature {
  readonly name: string
  readonly kind: 'velocity'
  readonly entity: 'customer' | 'terminal'
  /** Amounts are in major units; fraud_share is 0 where the window is empty. */
  readonly aggregate: VelocityAggregate
  readonly window_days: number
  readonly delay_days: number
  /** Whether the transaction that is being decided counts. */
  readonly include_current: boolean
}

export type Feature = { readonly name: string; readonly kind: 'amount' | 'weekend' | 'night' } | VelocityFeature

export interface FeatureSet {
  readonly feature_set_version: string
  /** Of the calendar features. */
  readonly timezone: 'UTC'
  readonly features: readonly Feature[]
}

/** The columns in their order. */
export function featureNames(set: FeatureSet): readonly string[] {
  return set.features.map(feature => feature.name)
}

/** Names become keys of plain objects on the way to JSON and to the engine: `__proto__` would be no key there. */
const featureName = /^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]{0,63}$/

function parseFeature(node: JsonNode): Feature {
  const kind = node
    .object(['name', 'kind', 'entity', 'aggregate', 'window_days', 'delay_days', 'include_current'])
    .get('kind')
    .oneOf(['amount', 'weekend', 'night', 'velocity'])
  const name = node.get('name').text(featureName)
  if (kind !== 'velocity') {
    node.object(['name', 'kind'])
    return { name, kind }
  }
  const delay_days = node.get('delay_days').integer(0, delayDaysMax)
  const include_current = node.get('include_current').boolean()
  if (include_current && delay_days > 0) {
    node
      .get('include_current')
      .fail('must be false where delay_days is above 0: the window ends before the transaction')
  }
  return {
    name,
    kind,
    entity: node.get('entity').oneOf(['customer', 'terminal']),
    aggregate: node.get('aggregate').oneOf(aggregates),
    window_days: node.get('window_days').integer(1, windowDaysMax),
    delay_days,
    include_current,
  }
}

function featureSetOf(root: JsonNode): FeatureSet {
  root.object(['feature_set_version', 'timezone', 'features'])
  const timezone = root.optional('timezone')
  if (timezone !== undefined && timezone.text() !== 'UTC') {
    timezone.fail(`is ${timezone.text()}; calendar features are computed in UTC only, so leave it out or write UTC`)
  }
  const nodes = root.get('features').items(featuresMax)
  if (nodes.length === 0) root.get('features').fail('must have at least one entry')
  const seen = new Set<string>()
  const features = nodes.map(node => {
    const feature = parseFeature(node)
    if (seen.has(feature.name)) node.get('name').fail(`repeats ${feature.name}`)
    seen.add(feature.name)
    return feature
  })
  return { feature_set_version: root.get('feature_set_version').text(), timezone: 'UTC', features }
}

/** @throws WeirError INVALID_FEATURES with the JSON path of the mistake */
export function parseFeatureSet(text: string, document = 'feature set'): FeatureSet {
  return featureSetOf(parseJsonDocument(text, document, 'INVALID_FEATURES'))
}

/** @throws WeirError INPUT_UNREADABLE, INVALID_FEATURES */
export function loadFeatureSet(path: string): FeatureSet {
  return featureSetOf(readJsonDocument(path, 'INVALID_FEATURES'))
}

/** The bundled set: the contract's "Features of the default set". */
export function defaultFeatureSet(): FeatureSet {
  return loadFeatureSet(repositoryFile('fraud/features/default-features.json'))
}
