/** What a worker runs, as plain data that threads can be given; and what a thread makes of it. */
import {
  championModel,
  decisionAvroFormat,
  decisionFormat,
  defaultFeatureSet,
  defaultRuleSet,
  defaultTopology,
  loadFeatureSet,
  loadRuleSet,
  repeatFormat,
} from '../../fraud/index.js'
import type { Clock } from '../../kernel/index.js'
import type { KafkaOptions } from '../../log/kafka/index.js'
import type { RecordDecoder } from '../../schemas/avro/index.js'
import { HttpSchemaRegistry, labelValues, transactionValues, WriterSchemas } from '../../schemas/registry/index.js'
import type { Model } from '../../scoring/index.js'
import { compile, type Plan, type SourceFormat } from '../../topology/index.js'
import type { CheckpointPlace } from '../checkpoints/index.js'
import type { MemoryShare } from '../memory/index.js'
import { loadModel } from '../models/index.js'

export interface WorkerJob {
  readonly app: string
  readonly dataDir: string
  readonly kafka: Pick<KafkaOptions, 'brokers' | 'prefix' | 'clientId' | 'tls' | 'sasl'>
  /** The plan that the deployment is at (docs/decisions/0016), and its slots. */
  readonly planNumber: number
  readonly slots: number
  /** Of transactions and of every other input. */
  readonly partitions: number
  readonly model: string | undefined
  readonly rules: string | undefined
  readonly features: string | undefined
  readonly cardKey: string
  /** For each slot. */
  readonly memory: MemoryShare
  readonly checkpoints: CheckpointJob | undefined
  /** With 1 idle slots commit heartbeats, and this worker follows slots that others run. */
  readonly standbys: number
  /** Without one, decisions are written as JSON, and framed Avro ends in the dead letters. */
  readonly registry: RegistryAccess | undefined
}

/** What of a job its topology is made of. */
export type PlanJob = Pick<WorkerJob, 'app' | 'slots' | 'partitions' | 'rules' | 'features' | 'cardKey' | 'registry'>

/** Where a slot's checkpoints go, and how often. */
export interface CheckpointJob {
  /** The same for all workers. */
  readonly place: CheckpointPlace
  readonly everyMs: number
  /** The newest so many, of each slot. */
  readonly keep: number
  /** Behind the oldest of them. */
  readonly trimsJournal: boolean
}

export interface RegistryAccess {
  readonly url: string
  readonly credentials?: { readonly username: string; readonly password: string }
  /** Of decisions, as the registry numbers it. */
  readonly decisionSchema: number
}

/** Schemas of what others have written; undefined without a registry. */
export function writerSchemasOf({ registry }: WorkerJob, clock: Clock): WriterSchemas | undefined {
  return registry && new WriterSchemas(new HttpSchemaRegistry({ ...registry, clock }), clock)
}

/**
 * The topology of the job. Formats have the same names with and without a registry: how values are written is no part of
 * what the state means, so a deployment may get its registry later.
 * @throws WeirError INVALID_FEATURES, INVALID_RULES, UNKNOWN_FEATURE for rules that use another, …
 */
export function planOf(job: PlanJob, schemas: WriterSchemas | undefined): Plan {
  const { registry } = job
  const decisions = registry === undefined ? decisionFormat() : decisionAvroFormat(registry.decisionSchema)
  const plan = compile(
    defaultTopology({
      app: job.app,
      transactions: source('transaction-value', transactionValues({ cardKey: job.cardKey, schemas })),
      labels: source('label-value', labelValues(schemas)),
      decisions: { ...decisions, name: 'decision-value' },
      repeats: repeatFormat(),
      featureSet: job.features === undefined ? defaultFeatureSet() : loadFeatureSet(job.features),
      ruleSet: job.rules === undefined ? defaultRuleSet() : loadRuleSet(job.rules),
    }).graph,
    { slots: job.slots, partitions: job.partitions },
  )
  // Rules name features: said here, and not by every slot again and again.
  for (const node of plan.steps) if (node.kind === 'decide') node.decide.bind(plan.featureNames, null)
  return plan
}

/** @throws WeirError MODEL_CONTRACT */
export async function modelsOf(job: Pick<WorkerJob, 'model'>, plan: Plan): Promise<ReadonlyMap<string, Model>> {
  return new Map([[championModel, await loadModel(job.model, plan.featureNames)]])
}

function source<T>(name: string, decoder: RecordDecoder<T>): SourceFormat<T> {
  return { name, decode: (bytes, start, end) => decoder.decode(bytes, start, end) }
}

/** Topics by which the slots of the default topology hand rows to each other. */
export function hopTopicsOf(app: string, placement: { readonly slots: number; readonly partitions: number }): string[] {
  const { graph } = defaultTopology({
    app,
    transactions: source('transaction-value', transactionValues({ cardKey: '', schemas: undefined })),
    labels: source('label-value', labelValues(undefined)),
    repeats: repeatFormat(),
  })
  return compile(graph, placement).hops.map(({ topic }) => topic)
}
