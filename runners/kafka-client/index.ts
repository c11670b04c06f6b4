export { type DeadLetter, deadLetters, placeOf, type ReplaySummary, replayDeadLetters } from './dead-letters.js'
export { followDecisions } from './decisions.js'
export { type KafkaClient, openKafka } from './open.js'
export { produceToKafka } from './produce.js'
