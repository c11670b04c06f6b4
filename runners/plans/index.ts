export { type BeginOptions, type BeginPoint, beginPlan, checkNext } from './begin.js'
export { type CloseOptions, type ClosePoint, type ClosingSlot, closePlan, type OpenSlot, reopenPlan } from './close.js'
export { type SeedOptions, seedOf } from './seed.js'
export { type Standing, standingOf } from './standing.js'
