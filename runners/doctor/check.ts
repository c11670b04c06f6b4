/** One thing that `weir doctor` looks at. */
import { isWeirError, messageOf } from '../../kernel/index.js'

export type Status = 'ok' | 'warn' | 'fail'

export interface Finding {
  /** Short name, the same in every run. */
  readonly check: string
  readonly status: Status
  /** What was found. */
  readonly what: string
  /** What to do about it; '' where nothing is to be done. */
  readonly advice: string
}

export interface Verdict {
  readonly status: Status
  readonly what: string
  readonly advice?: string
}

export const ok = (what: string): Verdict => ({ status: 'ok', what })
export const warn = (what: string, advice: string): Verdict => ({ status: 'warn', what, advice })
export const fail = (what: string, advice: string): Verdict => ({ status: 'fail', what, advice })

/** A check that throws has failed. */
export async function finding(check: string, look: () => Verdict | Promise<Verdict>): Promise<Finding> {
  try {
    return { check, advice: '', ...(await look()) }
  } catch (error) {
    const text = messageOf(error)
    const cut = isWeirError(error) ? text.lastIndexOf('; ') : -1
    if (cut < 0) return { check, status: 'fail', what: text, advice: 'run weir doctor --debug' }
    return { check, status: 'fail', what: text.slice(0, cut), advice: text.slice(cut + 2) }
  }
}
