/** What a worker runs, as plain data that threads can be given; and what a thread makes of it. */
import {
  championModel,
  defaultFeatureSet,
  defaultRuleSet,
  defaultTopology,
  loadFeatureSet,
  loadRuleSet,
} from '../../fraud/index.js'
import type { KafkaOptions } from '../../log/kafka/index.js'
import { labelJson, type RecordDecoder, transactionJson } from '../../schemas/avro/index.js'
import type { Model } from '../../scoring/index.js'
import { compile, type Plan, type SourceFormat } from '../../topology/index.js'
import { loadModel } from '../models/index.js'

export interface WorkerJob {
  readonly app: string
  readonly dataDir: string
  readonly kafka: Pick<KafkaOptions, 'brokers' | 'prefix' | 'clientId' | 'tls' | 'sasl'>
  readonly slots: number
  readonly model: string | undefined
  readonly rules: string | undefined
  readonly features: string | undefined
  readonly cardKey: string
  /** For each slot. */
  readonly cacheMb: number
}

/** The topology of the job. @throws WeirError INVALID_FEATURES, INVALID_RULES, … */
export function planOf(job: WorkerJob): Plan {
  return compile(
    defaultTopology({
      app: job.app,
      transactions: source('transaction-json', transactionJson({ cardKey: job.cardKey })),
      labels: source('label-json', labelJson()),
      featureSet: job.features === undefined ? defaultFeatureSet() : loadFeatureSet(job.features),
      ruleSet: job.rules === undefined ? defaultRuleSet() : loadRuleSet(job.rules),
    }).graph,
  )
}

/** @throws WeirError MODEL_CONTRACT */
export async function modelsOf(job: WorkerJob, plan: Plan): Promise<ReadonlyMap<string, Model>> {
  return new Map([[championModel, await loadModel(job.model, plan.featureNames)]])
}

function source<T>(name: string, decoder: RecordDecoder<T>): SourceFormat<T> {
  return { name, decode: (bytes, start, end) => decoder.decode(bytes, start, end) }
}
