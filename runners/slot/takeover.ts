/**
 * Whether who follows a slot takes it over: decided purely from facts; the standby collects them, its host acts on it.
 *
 * Invariants: 1. I4: whoever may take a slot over is a member of the group to whom the slot is given, in whatever part, and
 * whose membership is fresh: that is asked before, and again with each committer (slot-log.ts of the worker). 2. A slot whose
 * owner commits is taken from it only once for each time that the group gives it anew. 3. Whoever was fenced does not fence
 * back: it takes over by silence, as anyone else; and with each take-over after a first the silence that is asked for doubles, so that
 * two who are both slow do not fence each other for ever.
 */
import { type DurationMs, millis, seconds } from '../../kernel/index.js'

export interface TakeoverFacts {
  /** All of the journal that is known to be there has been folded. */
  readonly caughtUp: boolean
  /** The group has given the slot to this member as its owner, and it has not taken it over since. */
  readonly given: boolean
  /** It ran here, stopped for another reason than being fenced, and may go on where nobody has come after it. */
  readonly ranHere: { readonly generation: number } | undefined
  /** Of the journal's last epoch. */
  readonly generation: number
  /** What the last epoch promises (EpochRecord); undefined: nothing. */
  readonly heartbeatMs: number | undefined
  /** For how long no epoch has come. */
  readonly silentMs: number
  /** How often the slot was taken over in the last minute, here or elsewhere. */
  readonly takeovers: number
  /** The longest time between two epochs of one owner in the last minute. */
  readonly longestGapMs: number
}

export type Takeover = 'given' | 'nobody since' | 'left' | 'silent'

/** Heartbeats that are missed. */
const missedMax = 3
/** The group's session time-out: by then the group has noticed by itself. */
const silenceMax: DurationMs = seconds(10)
const doublingsMax = 4

/** @returns why it takes over; undefined: it follows */
export function resolveTakeover(facts: TakeoverFacts): Takeover | undefined {
  if (!facts.caughtUp) return undefined
  if (facts.given) return 'given'
  if (facts.ranHere !== undefined && facts.generation <= facts.ranHere.generation) return 'nobody since'
  if (facts.heartbeatMs === undefined) return undefined
  if (facts.heartbeatMs === 0) return 'left'
  return facts.silentMs >= silenceOf(facts, facts.heartbeatMs) ? 'silent' : undefined
}

/** How long no epoch must come before the owner counts as dead. One that has been slow lately is given twice what it took. */
export function silenceOf(
  { takeovers, longestGapMs }: Pick<TakeoverFacts, 'takeovers' | 'longestGapMs'>,
  heartbeatMs: number,
): DurationMs {
  const missed = missedMax * heartbeatMs * 2 ** Math.min(Math.max(0, takeovers - 1), doublingsMax)
  return millis(Math.min(silenceMax, Math.max(missed, 2 * longestGapMs)))
}
