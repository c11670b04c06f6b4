/** Why a service cannot run here: for the `skip` of its tests. */
import { java } from './java.js'

/** Of a service that needs Java and what `fetchFiles` fetches. */
export function missing(service: string, fetchFiles: () => Promise<unknown>): Promise<string | undefined> {
  return reasonAgainst(service, async () => {
    await java()
    await fetchFiles()
  })
}

/** @throws Error with the reason where WEIR_REQUIRE_SERVICES=1 */
export async function reasonAgainst(what: string, find: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await find()
    return undefined
  } catch (error) {
    const reason = `${what} cannot run here: ${whole(error)}`
    if (process.env.WEIR_REQUIRE_SERVICES === '1') throw new Error(reason)
    return reason
  }
}

/** An error's message with those of its causes. */
function whole(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause === undefined ? error.message : `${error.message}: ${whole(error.cause)}`
}
