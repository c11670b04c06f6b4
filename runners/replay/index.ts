export type { ReplayArguments } from './job.js'
export { createProgress, type Progress } from './progress.js'
export { type ReplayIo, type ReplayOutcome, type ReplaySummary, replay } from './replay.js'
