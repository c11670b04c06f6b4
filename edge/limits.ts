/** Every bound of the edge by name (I6). A slow or hostile client can hold no more than this. */
export interface EdgeLimits {
  /** Requests that wait for the engine at once; one more is answered 429. */
  readonly inFlightMax: number
  /** What they may wait for it, ms, while more come than it can do; then fewer get in (in-flight.ts). */
  readonly queueMsMax: number
  /** Open connections; one more is closed at once. */
  readonly connectionsMax: number
  /** From the start of a connection or request to the end of its header. */
  readonly headersMsMax: number
  /** From the start of a request to the last byte of its body. */
  readonly requestMsMax: number
  /** A kept connection without a request; longer than the 60 s of common load balancers, which must not lose the race. */
  readonly idleMsMax: number
  /** A socket on which no byte moves, in either direction; longer than the longest deadline. */
  readonly stalledMsMax: number
  /** How often the times above are looked at. */
  readonly checkMs: number
  readonly headerBytesMax: number
  /** What requests in flight get to finish once the edge closes; then their connections are cut. */
  readonly closeMsMax: number
}

export const defaultLimits: EdgeLimits = {
  inFlightMax: 1_000,
  queueMsMax: 100,
  connectionsMax: 4_096,
  headersMsMax: 5_000,
  requestMsMax: 10_000,
  idleMsMax: 65_000,
  stalledMsMax: 70_000,
  checkMs: 500,
  headerBytesMax: 16_384,
  closeMsMax: 10_000,
}

/** Field errors listed in one answer. */
export const fieldProblemsMax = 32
/** The deadline that a caller may ask for, ms. */
export const deadlineMsMin = 1
export const deadlineMsMax = 30_000
export const deadlineMsDefault = 1_000
/** HTTP: an event time may be this far ahead of the edge's clock. */
export const aheadMsMax = 86_400_000
/** Decisions that the status page lists. */
export const recentMax = 20
/** Answers whose latency the status page summarises. */
export const latenciesMax = 1_024
/** What a caller that is turned away is told to wait, seconds. */
export const retryAfterSeconds = 1
