export { checkBeginning } from './beginning.js'
export type { DeadLetterFormat, SinkWriter, StampOf } from './egress.js'
export type { DeadLetter } from './intake.js'
export {
  type Closing,
  closingOf,
  type EpochRecord,
  encodeJournalRecord,
  epochOf,
  type GenesisFrom,
  type GenesisRecord,
  generationOf,
  type InputRange,
  type JournalRecord,
  journalTopicOf,
  type LaterGenesis,
  type PartitionClock,
  type PartitionOffset,
  parseJournalRecord,
  planOf,
} from './journal.js'
export { firstLink, firstOfPlan, type Link, lastLink } from './journal-reader.js'
export { type ClosingEpoch, laterGenesis } from './later-genesis.js'
export type { SlotState } from './lifecycle.js'
export {
  type CommittedEpoch,
  type CrashPoint,
  defaultLimits,
  type SlotCheckpoints,
  type SlotEvent,
  type SlotLimits,
  type SlotOptions,
  type StepResult,
} from './options.js'
export { genesisOf, ownedPartitions, slotOfKey } from './ownership.js'
export { Phases } from './phases.js'
export { type EpochMode, Pipeline, type PipelineLimits, RecordFault } from './pipeline.js'
export { Progress } from './progress.js'
export { type RecoveryDecision, type RecoveryFacts, resolveRecovery } from './recovery.js'
export { replyToBytesMax, replyToHeader } from './reply-to.js'
export { positionKey } from './rows.js'
export type { Reflected } from './running.js'
export { journalFacts, partitionKey } from './running.js'
export { Slot, type SlotInspection } from './slot.js'
export { Standby, type StandbyLag } from './standby.js'
export { resolveTakeover, type Takeover, type TakeoverFacts } from './takeover.js'
export { trimJournalBehind } from './trimming.js'
