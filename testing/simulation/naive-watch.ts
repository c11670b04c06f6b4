/** The process step once more, naively: plain Maps and a list of timers, driven by the journal's epochs and clocks. */
import { type Alert, quietAfter, seenReset, usesMax } from './watch.js'

interface Watched {
  n: number
  due: number | undefined
  readonly terminals: Map<string, number>
}

interface Timer {
  readonly at: number
  readonly who: string
}

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

export class NaiveWatch {
  readonly #watched = new Map<string, Watched>()
  #timers: Timer[] = []

  /** True when the operator throws on this payment as things stand. */
  throwsOn(who: string, terminal: string): boolean {
    return (this.#watched.get(who)?.terminals.get(terminal) ?? 0) >= usesMax
  }

  payment(who: string, id: string, terminal: string, at: number): Alert[] {
    const watched = this.#watched.get(who) ?? { n: 0, due: undefined, terminals: new Map<string, number>() }
    this.#watched.set(who, watched)
    watched.n++
    const uses = (watched.terminals.get(terminal) ?? 0) + 1
    watched.terminals.set(terminal, uses)
    if (watched.due === undefined || at + quietAfter > watched.due) {
      this.#timers = this.#timers.filter(timer => timer.who !== who || timer.at !== watched.due)
      this.#setTimer(watched, who, at + quietAfter)
    }
    const alerts: Alert[] = [{ kind: 'seen', who, id, n: watched.n, uses }]
    if (watched.n % 3 === 0) alerts.push({ kind: 'third', who, terminals: sorted(watched) })
    return alerts
  }

  /** The end of an epoch. @param watermark -Infinity while a partition that is awake has shown nothing */
  watermark(watermark: number): Alert[] {
    const alerts: Alert[] = []
    for (;;) {
      const due = this.#timers.filter(timer => timer.at <= watermark)
      due.sort((a, b) => a.at - b.at || byBytes(a.who, b.who))
      const first = due[0]
      if (first === undefined) break
      this.#timers = this.#timers.filter(timer => timer !== first)
      alerts.push(this.#quiet(first))
    }
    if (watermark > Number.NEGATIVE_INFINITY) alerts.push({ kind: 'watermark', who: 'watermark', at: watermark })
    return alerts
  }

  #quiet({ at, who }: Timer): Alert {
    const watched = this.#watched.get(who)!
    const alert: Alert = { kind: 'quiet', who, at, n: watched.n, terminals: sorted(watched) }
    const terminals = watched.terminals.size
    watched.terminals.clear()
    watched.due = undefined
    if (terminals > 1) this.#setTimer(watched, who, at + quietAfter)
    if (watched.n >= seenReset) watched.n = 0
    return alert
  }

  #setTimer(watched: Watched, who: string, at: number): void {
    watched.due = at
    this.#timers.push({ at, who })
  }
}

const sorted = ({ terminals }: Watched): [string, number][] => [...terminals].sort((a, b) => byBytes(a[0], b[0]))
