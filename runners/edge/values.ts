/** What an edge writes: values in Avro where a registry is configured, else JSON, each in the partition of its customer. */
import { type ProvisionalDecision, provisionalDecisions } from '../../fraud/index.js'
import { type Clock, positiveMurmur2 } from '../../kernel/index.js'
import type { Log } from '../../log/index.js'
import { encodeLabelJson, encodeTransactionJson, type Label, type Transaction } from '../../schemas/avro/index.js'
import { HttpSchemaRegistry, labelAvro, registerSchema, transactionAvro } from '../../schemas/registry/index.js'
import type { RegistryAccess } from '../worker/index.js'

export interface EdgeValues {
  readonly transaction: (transaction: Transaction) => Buffer
  readonly label: (label: Label) => Buffer
  readonly provisional: (...args: Parameters<ReturnType<typeof provisionalDecisions>>) => ProvisionalDecision
}

/** @throws WeirError SCHEMA_CONFLICT, REGISTRY_UNREACHABLE */
export async function edgeValues(
  app: string,
  prefix: string,
  access: Omit<RegistryAccess, 'decisionSchema'> | undefined,
  clock: Clock,
): Promise<EdgeValues> {
  if (access === undefined) {
    return { transaction: encodeTransactionJson, label: encodeLabelJson, provisional: provisionalDecisions(app) }
  }
  const registry = new HttpSchemaRegistry({ ...access, clock })
  return {
    transaction: transactionAvro(await registerSchema(registry, `${prefix}transactions`, 'transaction')),
    label: labelAvro(await registerSchema(registry, `${prefix}labels`, 'label')),
    provisional: provisionalDecisions(
      app,
      await registerSchema(registry, `${prefix}decisions.provisional`, 'decision'),
    ),
  }
}

/** Partition counts of the topics that an edge writes or reads by key, taken once: they are pinned while slots run. */
export class Partitions {
  readonly #counts: ReadonlyMap<string, number>

  /** @throws WeirError UNKNOWN_TOPIC, KAFKA_UNAVAILABLE */
  static async of(log: Log, topics: readonly string[]): Promise<Partitions> {
    const counts = await Promise.all(topics.map(async topic => [topic, await log.partitionCount(topic)] as const))
    return new Partitions(new Map(counts))
  }

  private constructor(counts: ReadonlyMap<string, number>) {
    this.#counts = counts
  }

  count(topic: string): number {
    return this.#counts.get(topic) ?? 1
  }

  /** As Kafka's Java client has it. */
  ofKey(topic: string, key: Buffer): number {
    return positiveMurmur2(key) % this.count(topic)
  }
}
