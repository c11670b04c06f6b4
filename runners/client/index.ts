export { type ClientOptions, errorOf, type FollowOptions, type PostReply, type Refusal, WeirClient } from './client.js'
export { type ProduceJob, type ProduceOutcome, type ProduceSummary, produce } from './produce.js'
