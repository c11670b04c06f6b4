export type { KafkaCommitter } from './committer.js'
export { KafkaLog, type TopicDescription, type TopicSettings } from './kafka-log.js'
export { defaultLimits, type KafkaLimits, type KafkaOptions, type KafkaSasl, type KafkaTls } from './options.js'
export type { KafkaReader, PartitionState } from './reader.js'
