/** A real edge on a free loopback port, and ways to speak to it. Every answer seen is held against /openapi.json. */
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { after } from 'node:test'
import { pino } from 'pino'
import { createEdge, type Edge, type EdgeOptions, openApiDocument } from '../index.js'
import { type FakeEngine, fakeEngine } from './engine.js'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** undefined when the body is no JSON. */
  readonly json: Readonly<Record<string, unknown>> | undefined
}

export interface TestEdge {
  readonly edge: Edge
  readonly engine: FakeEngine
  readonly url: string
  readonly port: number
  /** What was logged, a line each. */
  readonly logged: string[]
  get(path: string, init?: RequestInit): Promise<Answer>
  /** Posts JSON; a string or bytes go as they are. */
  post(path: string, body: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>
  send(path: string, init: RequestInit): Promise<Answer>
  /** Writes the bytes on a bare connection and answers all that comes back until it is closed. */
  raw(text: string): Promise<string>
}

export async function startEdge(options: Partial<EdgeOptions> = {}): Promise<TestEdge> {
  const engine = fakeEngine()
  const logged: string[] = []
  const logger = pino({ level: 'debug' }, { write: line => void logged.push(line) })
  const edge = await createEdge({ ports: engine, cardKey: 'test-key', port: 0, logger, ...options })
  const { url } = await edge.listen()
  const port = Number(new URL(url).port)
  after(() => edge.close())

  const send = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(url + path, init)
    const text = await response.text()
    assertDocumented(init.method ?? 'GET', path, response.status, response.headers.get('content-type'))
    return { status: response.status, headers: response.headers, text, json: parsed(text) }
  }
  return {
    edge,
    engine,
    url,
    port,
    logged,
    send,
    get: (path, init = {}) => send(path, init),
    post: (path, body, headers = {}) =>
      send(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
      }),
    raw: async text => {
      const socket = connect(port, '127.0.0.1')
      const chunks: Buffer[] = []
      socket.on('data', chunk => chunks.push(chunk))
      socket.write(text)
      await closed(socket)
      return Buffer.concat(chunks).toString()
    },
  }
}

/** Resolves when the socket has closed, after whatever errors. */
export function closed(socket: Socket): Promise<void> {
  return new Promise(resolve => socket.on('error', () => {}).once('close', () => resolve()))
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return JSON.parse(text) as Readonly<Record<string, unknown>>
  } catch {
    return undefined
  }
}

interface Operation {
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>
}

const paths = openApiDocument().paths as Readonly<Record<string, Readonly<Record<string, Operation>>>>

/** Every status and type that a documented operation answers must stand in the document. */
export function assertDocumented(method: string, path: string, status: number, type: string | null): void {
  const bare = path.split('?', 1)[0]!
  const pattern = Object.keys(paths).find(key => new RegExp(`^${key.replace(/\{\w+\}/g, '[^/]+')}$`).test(bare))
  const operation = pattern === undefined ? undefined : paths[pattern]?.[method.toLowerCase()]
  if (operation === undefined) {
    assert.ok([400, 404, 405].includes(status) || method === 'HEAD', `${method} ${path}`)
    return
  }
  const response = operation.responses[status]
  assert.ok(response, `${method} ${pattern} answered ${status}, which /openapi.json does not have`)
  assert.ok(Object.keys(response.content ?? {}).includes(type?.split(';')[0] ?? ''), `${pattern} ${status}: ${type}`)
}
