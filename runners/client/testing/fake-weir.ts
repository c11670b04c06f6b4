/**
 * A small HTTP server that answers as the contract says, for tests of clients: it decides at once, remembers what it was
 * sent, and does what a test tells it to do instead.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after } from 'node:test'

export interface Received {
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Readonly<Record<string, unknown>>
  /** How many requests were under way when it came, itself included. */
  readonly underWay: number
}

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** Cut the connection instead of answering. */
  readonly cut?: true
}

export interface FakeWeir {
  readonly url: string
  readonly received: Received[]
  /** What a POST gets; undefined: decided, recorded. May take its time. */
  onPost: (received: Received) => Answer | undefined | Promise<Answer | undefined>
  onGet: (path: string, response: ServerResponse) => Answer | undefined
  close(): Promise<void>
}

export const problem = (status: number, code: string, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  headers: { 'content-type': 'application/problem+json', ...headers },
  body: { type: `urn:weir:error:${code}`, status, code, detail: `said ${code}` },
})

export async function fakeWeir(): Promise<FakeWeir> {
  let underWay = 0
  const fake: FakeWeir = {
    url: '',
    received: [],
    onPost: () => undefined,
    onGet: () => undefined,
    close: () => closed(server),
  }
  const server = createServer((request, response) => {
    underWay++
    response.on('close', () => underWay--)
    void answer(fake, request, response, underWay)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  after(() => closed(server))
  return Object.assign(fake, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

async function answer(fake: FakeWeir, request: IncomingMessage, response: ServerResponse, underWay: number) {
  const path = request.url ?? ''
  if (request.method === 'GET') {
    const told = fake.onGet(path, response)
    if (told !== undefined) send(response, told)
    else if (path === '/healthz') send(response, { status: 200, body: { status: 'ok' } })
    else if (!response.headersSent) send(response, problem(404, 'NOT_FOUND'))
    return
  }
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown>
  const received = { path, headers: request.headers, body, underWay }
  fake.received.push(received)
  const told = await fake.onPost(received)
  if (told !== undefined) send(response, told)
  else if (path.startsWith('/v1/labels')) send(response, { status: 202, body: { status: 'recorded' } })
  else send(response, { status: 200, body: { transaction_id: body.transaction_id, outcome: 'approve' } })
}

function send(response: ServerResponse, { status, headers, body, cut }: Answer): void {
  if (cut) {
    response.destroy()
    return
  }
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

function closed(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
