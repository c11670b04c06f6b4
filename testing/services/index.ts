export { type KafkaForTests, type KafkaOptions, kafkaMissing, startKafka } from './kafka.js'
export { type Fault, type FaultProxy, startProxy } from './proxy.js'
export { type RegistryForTests, type RegistryOptions, registryMissing, startRegistry } from './registry.js'
