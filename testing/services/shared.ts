/**
 * Services that the files of one test run have in common. `scripts/test.mjs` starts each file with an IPC channel and
 * WEIR_TEST_RUNNER=1; the first file that asks makes the runner start the service, which ends with the run. A file that runs
 * alone has nobody to ask and starts its own.
 */
import { once } from 'node:events'

export type SharedService = 'kafka' | 'registry'

interface Answer {
  readonly service: SharedService
  readonly value?: unknown
  readonly error?: string
}

/** @returns what the runner says, or undefined where there is no runner. @throws Error when the service did not start there */
export async function askRunner<T>(service: SharedService): Promise<T | undefined> {
  if (process.env.WEIR_TEST_RUNNER !== '1' || process.send === undefined) return undefined
  process.send({ wants: service })
  for (;;) {
    const [answer] = (await once(process, 'message')) as [Answer]
    if (answer.service !== service) continue
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer.value as T
  }
}
