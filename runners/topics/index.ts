export { deadLettersTopic, leftOutHeader, topicDeadLetters } from './dead-letters.js'
export { edgesDefault, replaysTopicOf, type TopicPlan, type TopicSpec, topicSpecs } from './topics.js'
export { comparedSettings, differences, type ExistingTopic } from './verify.js'
