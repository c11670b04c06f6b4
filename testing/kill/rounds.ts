/** Rounds of load, kill -9 and restart on one data directory, then the verdict over all of them. */

import { seededRandom } from '../random/index.js'
import { freePort, startWeir, type WeirProcess } from '../weir-process/index.js'
import { emptyLedger, type Ledger, load } from './load.js'
import { type Verdict, verify } from './verify.js'

export interface RoundsOptions {
  readonly dataDir: string
  readonly rounds: number
  readonly requestsPerRound: number
  readonly clients: number
  readonly seed: number
  /** Of `weir up`. */
  readonly flags?: readonly string[]
  readonly say: (line: string) => void
}

/** Whatever state does not need any more goes within a second, and state is written back all the time. */
export const aggressiveRetention: readonly string[] = [
  ...['--retention-transactions', '0s', '--retention-labels', '0s', '--retention-dead-letters', '0s'],
  ...['--write-back-records', '40'],
]

export interface RoundsOutcome extends Verdict {
  readonly acknowledged: number
  /** Acknowledged ids that GET does not find. */
  readonly notFound: readonly string[]
}

export async function runRounds(options: RoundsOptions): Promise<RoundsOutcome> {
  const random = seededRandom(options.seed)
  const ledger = emptyLedger()
  for (let round = 1; round <= options.rounds; round++) {
    const weir = await startWeir(options.dataDir, await freePort(), options.flags)
    const killAfter = Math.floor(random() * options.requestsPerRound)
    const { answers, ms } = await loadAndKill(options, weir, round, killAfter, ledger)
    options.say(
      `round ${String(round).padStart(2)}: ready in ${weir.readyMs.toFixed(0)} ms, ${answers} answers in ${ms.toFixed(0)} ms, then kill -9`,
    )
  }
  const weir = await startWeir(options.dataDir, await freePort(), options.flags)
  try {
    const verdict = verify(await allDecisions(weir.url), ledger)
    const acknowledged = new Set([...ledger.decided.keys(), ...ledger.pending])
    return { ...verdict, acknowledged: acknowledged.size, notFound: await missing(weir.url, [...acknowledged], ledger) }
  } finally {
    await weir.stop()
  }
}

async function loadAndKill(
  options: RoundsOptions,
  weir: WeirProcess,
  round: number,
  killAfter: number,
  ledger: Ledger,
): Promise<{ answers: number; ms: number }> {
  const startedAt = performance.now()
  let answers = 0
  let killing: Promise<void> | undefined
  const done = load(
    {
      url: weir.url,
      seed: options.seed * 1_000 + round,
      requests: options.requestsPerRound,
      clients: options.clients,
      idPrefix: `r${round}`,
      stopped: () => killing !== undefined,
      onAnswer: () => {
        answers++
        if (answers >= killAfter) killing ??= weir.kill()
      },
    },
    ledger,
  )
  await done
  await (killing ?? weir.kill())
  return { answers, ms: performance.now() - startedAt }
}

async function allDecisions(url: string): Promise<string[]> {
  const status = (await (await fetch(`${url}/v1/status`)).json()) as { facts: { decisions?: number } }
  const count = status.facts.decisions ?? 0
  if (count === 0) return []
  const reply = await fetch(`${url}/v1/stream/decisions?from=beginning&count=${count}`)
  return (await reply.text()).split('\n').filter(line => line !== '')
}

async function missing(url: string, ids: readonly string[], ledger: Ledger): Promise<string[]> {
  const notFound: string[] = []
  let next = 0
  const look = async (): Promise<void> => {
    while (next < ids.length) {
      const id = ids[next++]!
      const customer = ledger.sent.get(id)?.customer_id ?? ''
      const reply = await fetch(`${url}/v1/decisions/${id}?customer_id=${customer}`)
      const found = (await reply.json()) as { decision_id?: string }
      const answered = ledger.decided.get(id)
      if (reply.status !== 200 || (answered !== undefined && found.decision_id !== answered)) notFound.push(id)
    }
  }
  await Promise.all(Array.from({ length: 16 }, look))
  return notFound
}
