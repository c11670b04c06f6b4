/**
 * Two members that follow the rules on a cluster that is slow, for ten minutes: whoever the group has named, however wrong each of
 * them is about the other's death, the slot gets on, and they do not fence each other without end.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Offset } from '../../log/index.js'
import { seededRandom } from '../../testing/random/index.js'
import type { EpochRecord } from './journal.js'
import type { Link } from './journal-reader.js'
import { Rhythm } from './rhythm.js'
import { resolveTakeover } from './takeover.js'

const tickMs = 25
const minutesMax = 10
const heartbeatMs = 250

interface Member {
  /** undefined: it follows. */
  owns: { readonly fence: number; readonly generation: number; committedAtMs: number; since: number } | undefined
  rhythm: Rhythm
  tookOverMs: number[]
  heard: number
  stopsUntilMs: number
}

interface Outcome {
  readonly takeovers: number
  readonly epochs: number
  readonly takeoversLater: number
}

/** @param commitMs how long a commit takes, drawn for each. @param pauseMs of a process, drawn now and then */
function play(seed: number, commitMs: (random: number) => number, pauseMs: (random: number) => number): Outcome {
  const random = seededRandom(seed)
  const journal: Link[] = []
  let fence = 0
  let takeovers = 0
  let takeoversLater = 0
  const follower = (nowMs: number, tookOverMs: number[]): Pick<Member, 'rhythm' | 'tookOverMs' | 'heard' | 'owns'> => {
    const rhythm = new Rhythm(nowMs, tookOverMs)
    const last = journal.at(-1)
    if (last !== undefined) rhythm.begin(last, nowMs)
    return { rhythm, tookOverMs, heard: journal.length, owns: undefined }
  }
  const members: Member[] = [0, 1].map(() => ({ ...follower(0, []), stopsUntilMs: 0 }))
  const take = (member: Member, nowMs: number): void => {
    fence++
    takeovers++
    if (nowMs > (minutesMax * 60_000) / 2) takeoversLater++
    member.tookOverMs.push(nowMs)
    const generation = 1 + Math.max(0, ...journal.map(({ record }) => (record as EpochRecord).generation))
    member.owns = { fence, generation, since: nowMs, committedAtMs: nowMs + commitMs(random()) }
  }
  take(members[0]!, 0)
  for (let nowMs = 0; nowMs < minutesMax * 60_000; nowMs += tickMs) {
    for (const member of members) {
      if (nowMs < member.stopsUntilMs) continue
      if (random() < 0.002) member.stopsUntilMs = nowMs + pauseMs(random())
      const { owns, rhythm } = member
      if (owns === undefined) {
        for (const link of journal.slice(member.heard)) rhythm.heard(link, nowMs)
        member.heard = journal.length
        const facts = { ...rhythm.facts(nowMs), caughtUp: true, given: false, ranHere: undefined }
        if (resolveTakeover(facts) === 'silent') take(member, nowMs)
      } else if (nowMs >= owns.committedAtMs) {
        if (owns.fence !== fence) {
          Object.assign(member, follower(nowMs, member.tookOverMs))
          continue
        }
        const record = { kind: 'epoch', generation: owns.generation, heartbeat_ms: heartbeatMs } as EpochRecord
        journal.push({ record, hash: '', at: 0n as Offset, loggedAtMs: owns.since })
        owns.since = nowMs + heartbeatMs
        owns.committedAtMs = owns.since + commitMs(random())
      }
    }
  }
  return { takeovers, takeoversLater, epochs: journal.length }
}

describe('two members on a cluster', () => {
  for (const [name, commitMs, pauseMs, takeoversMax] of [
    ['that is well', () => 5, () => 50, 1],
    ['whose commits take up to 600 ms', r => 600 * r, () => 50, 3],
    ['whose commits take 2 s', () => 2_000, () => 50, 8],
    ['whose commits take up to 8 s', r => 8_000 * r ** 4, () => 50, 20],
    ['whose members stand still for up to 5 s, all the time', () => 20, r => 5_000 * r, 38],
  ] as readonly [string, (random: number) => number, (random: number) => number, number][]) {
    it(`${name} take over at most ${takeoversMax} times in ten minutes, and get on`, () => {
      for (let seed = 0; seed < 20; seed++) {
        const { takeovers, epochs } = play(seed, commitMs, pauseMs)
        assert.ok(takeovers <= takeoversMax, `seed ${seed}: ${takeovers} take-overs`)
        const due = (minutesMax * 60_000) / (heartbeatMs + commitMs(0.5))
        assert.ok(epochs > due / 10, `seed ${seed}: ${epochs} epochs of ${due}`)
      }
    })
  }
})
