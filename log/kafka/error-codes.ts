/** Kafka's error codes as far as Weir tells them apart, and what each means for it. */
import { type ErrorCode, WeirError } from '../../kernel/index.js'

export const code = {
  none: 0,
  offsetOutOfRange: 1,
  corruptMessage: 2,
  unknownTopicOrPartition: 3,
  leaderNotAvailable: 5,
  notLeader: 6,
  replicaNotAvailable: 9,
  messageTooLarge: 10,
  coordinatorLoading: 14,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  invalidTopic: 17,
  recordListTooLarge: 18,
  notEnoughReplicas: 19,
  topicAuthorizationFailed: 29,
  clusterAuthorizationFailed: 31,
  invalidTimestamp: 32,
  topicExists: 36,
  invalidPartitions: 37,
  invalidReplication: 38,
  invalidConfig: 40,
  notController: 41,
  policyViolation: 44,
  invalidProducerEpoch: 47,
  concurrentTransactions: 51,
  transactionalIdAuthorizationFailed: 53,
  kafkaStorageError: 56,
  fencedLeaderEpoch: 74,
  unknownLeaderEpoch: 75,
  offsetNotAvailable: 78,
  invalidRecord: 87,
  producerFenced: 90,
} as const

const names = new Map<number, string>([
  ...Object.entries(code).map(([name, value]) => [value, name] as const),
  [-1, 'unknownServerError'],
  [7, 'requestTimedOut'],
  [20, 'notEnoughReplicasAfterAppend'],
  [35, 'unsupportedVersion'],
  [42, 'invalidRequest'],
  [45, 'outOfOrderSequence'],
  [46, 'duplicateSequence'],
  [48, 'invalidTransactionState'],
  [50, 'invalidTransactionTimeout'],
  [49, 'invalidProducerIdMapping'],
  [59, 'unknownProducerId'],
  [67, 'groupFenced'],
  [76, 'unsupportedCompression'],
  [120, 'transactionAbortable'],
])

export const nameOf = (errorCode: number): string => `${names.get(errorCode) ?? 'error'} (${errorCode})`

/** The broker has done nothing, because leadership is moving or something is starting: the same again, elsewhere or later. */
const temporary = new Set<number>([
  code.unknownTopicOrPartition, // a broker that has not heard of a new topic yet
  code.leaderNotAvailable,
  code.notLeader,
  code.replicaNotAvailable,
  code.coordinatorLoading,
  code.coordinatorNotAvailable,
  code.notCoordinator,
  code.notEnoughReplicas,
  code.notController,
  code.concurrentTransactions,
  code.fencedLeaderEpoch,
  code.unknownLeaderEpoch,
  code.offsetNotAvailable,
])

/**
 * Whether the request may be sent again: the broker refused it before it did anything. What may have happened, such as a
 * time-out after the append, is not temporary.
 */
export const isTemporary = (errorCode: number): boolean => temporary.has(errorCode)

/** A newer owner of the transactional id, or the coordinator after a time-out, has bumped its epoch (I4). */
export const isFenced = (errorCode: number): boolean =>
  errorCode === code.invalidProducerEpoch || errorCode === code.producerFenced

const refusals = new Map<number, ErrorCode>([
  [code.topicAuthorizationFailed, 'KAFKA_REFUSED'],
  [code.clusterAuthorizationFailed, 'KAFKA_REFUSED'],
  [code.transactionalIdAuthorizationFailed, 'KAFKA_REFUSED'],
  [code.invalidTopic, 'KAFKA_REFUSED'],
  [code.invalidPartitions, 'KAFKA_REFUSED'],
  [code.invalidReplication, 'KAFKA_REFUSED'],
  [code.invalidConfig, 'KAFKA_REFUSED'],
  [code.policyViolation, 'KAFKA_REFUSED'],
  [code.invalidTimestamp, 'KAFKA_REFUSED'],
  [code.invalidRecord, 'KAFKA_REFUSED'],
  [code.messageTooLarge, 'MESSAGE_TOO_LARGE'],
  [code.recordListTooLarge, 'MESSAGE_TOO_LARGE'],
  [code.corruptMessage, 'LOG_CORRUPT'],
])

/** The error of a request that the broker refused for good; undefined for every other code. */
export function refusal(errorCode: number, what: string, message?: string | null): WeirError | undefined {
  const refused = refusals.get(errorCode)
  if (refused === undefined) return undefined
  return new WeirError(refused, `${what}: ${nameOf(errorCode)}${message ? `, ${message}` : ''}`)
}
