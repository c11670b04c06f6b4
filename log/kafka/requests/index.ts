import { metadata } from './cluster.js'
import { fetch, listOffsets, produce9 } from './data.js'
import { createPartitions, createTopics, deleteRecords, describeTopicConfig } from './topics.js'
import {
  addPartitionsToTransaction,
  endTransaction3,
  findTransactionCoordinator,
  initProducerId,
} from './transactions.js'

export * from './cluster.js'
export * from './data.js'
export { byTopic, type Request } from './request.js'
export * from './topics.js'
export * from './transactions.js'

/** What every broker must speak; `produce12` and `endTransaction5` are used where the cluster has them. */
export const requiredRequests: readonly { readonly name: string; readonly key: number; readonly version: number }[] = [
  metadata,
  listOffsets,
  fetch,
  produce9,
  findTransactionCoordinator,
  initProducerId,
  addPartitionsToTransaction,
  endTransaction3,
  createTopics,
  createPartitions,
  deleteRecords,
  describeTopicConfig,
]
