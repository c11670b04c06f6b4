export { type ClientOptions, errorOf, type FollowOptions, type PostReply, type Refusal, WeirClient } from './client.js'
export { InputFile, type InputJob, interrupted, type LineCounts, withoutLabel } from './input.js'
export { Pace, type PaceIo } from './pace.js'
export { type ProduceIo, type ProduceJob, type ProduceOutcome, type ProduceSummary, produce } from './produce.js'
