/**
 * A client of Weir with nothing but fetch: sends a payment and waits for its decision, also when the answer is 202.
 * Sending again after a broken connection is safe: the id makes it the same payment. Needs a running Weir (npm start):
 *
 *   node dist/examples/client.js [URL]
 */
export interface Decision {
  readonly decision_id: string
  readonly outcome: 'approve' | 'review' | 'decline'
  readonly score?: number
  readonly reason_codes: readonly { readonly code: string; readonly text: string }[]
}

/** @param tries how often to ask for a decision that is not there yet, with pauses as the server wishes */
export async function decide(url: string, payment: object, tries = 10): Promise<Decision> {
  const headers = { 'content-type': 'application/json' }
  let response = await fetch(`${url}/v1/decisions`, { method: 'POST', headers, body: JSON.stringify(payment) })
  const place = response.status === 202 ? response.headers.get('location') : null
  for (let i = 0; place !== null && response.status !== 200; i++) {
    if (i === tries) throw new Error(`no decision after ${tries} tries; it is durable, ask again at ${place}`)
    const waitS = Number(response.headers.get('retry-after') ?? 1)
    await response.body?.cancel()
    await new Promise(resolve => setTimeout(resolve, waitS * 1_000))
    response = await fetch(new URL(place, url))
  }
  if (response.status === 200) return (await response.json()) as Decision
  // problem details, RFC 9457: the code is in docs/errors.md; 429 and 503 say in Retry-After when to try again
  const problem = (await response.json()) as { code: string; detail: string; errors?: unknown }
  throw new Error(`${response.status} ${problem.code}: ${problem.detail} ${JSON.stringify(problem.errors ?? [])}`)
}

if (process.argv[1] === import.meta.filename) {
  const { outcome, score, reason_codes } = await decide(process.argv[2] ?? 'http://127.0.0.1:8080', {
    transaction_id: `client-${Date.now()}`,
    event_time: new Date().toISOString(),
    customer_id: 'c-1',
    terminal_id: 't-1',
    amount_minor: 25_000,
    currency: 'EUR',
  })
  console.log(outcome, score, reason_codes.map(reason => reason.text).join(' '))
}
