export { topicDeadLetters } from './dead-letters.js'
export { edgesDefault, type TopicPlan, type TopicSpec, topicSpecs } from './topics.js'
export { comparedSettings, differences, type ExistingTopic } from './verify.js'
