import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openApiDocument } from './index.js'
import { label, transaction } from './testing/engine.js'
import { startEdge } from './testing/server.js'

const { get, post, send } = await startEdge()
const document = openApiDocument()
type Node = Readonly<Record<string, unknown>>

/** Every object of the document, with the path to it. */
function* nodes(value: unknown, path = '#'): Generator<readonly [path: string, node: Node]> {
  if (typeof value !== 'object' || value === null) return
  if (!Array.isArray(value)) yield [path, value as Node]
  for (const [name, below] of Object.entries(value)) yield* nodes(below, `${path}/${name}`)
}

const operations = Object.entries(document.paths as Record<string, Record<string, Node>>).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
)

describe('/openapi.json', () => {
  it('is served as it is made', async () => {
    assert.deepEqual((await get('/openapi.json')).json, JSON.parse(JSON.stringify(document)))
    assert.match(String(document.openapi), /^3\.1\.\d$/)
  })

  it('has no reference into nothing, and no component that nothing refers to', () => {
    const schemas = Object.keys((document.components as { schemas: Node }).schemas)
    const references = [...nodes(document)].flatMap(([, node]) => (typeof node.$ref === 'string' ? [node.$ref] : []))
    const named = new Set(references.map(reference => reference.replace('#/components/schemas/', '')))
    assert.deepEqual([...named].sort(), [...schemas].sort())
  })

  it('gives each operation an id of its own, a summary, and described responses with content', () => {
    const ids = operations.map(({ operation }) => operation.operationId)
    assert.equal(new Set(ids).size, ids.length)
    for (const { path, operation } of operations) {
      assert.ok(operation.summary, path)
      for (const [status, response] of Object.entries(operation.responses as Record<string, Node>)) {
        assert.ok(response.description && response.content, `${path} ${status}`)
        const types = Object.keys(response.content as Node)
        if (Number(status) >= 400) assert.deepEqual(types, ['application/problem+json'])
      }
    }
  })

  it('declares every parameter of a path', () => {
    for (const { path, operation } of operations) {
      const declared = ((operation.parameters ?? []) as Node[]).filter(one => one.in === 'path')
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(match => match[1])
      assert.deepEqual(
        declared.map(one => one.name),
        names,
        path,
      )
    }
  })

  it('has only regular expressions that compile under the u flag, and required properties that exist', () => {
    for (const [path, node] of nodes(document)) {
      if (typeof node.pattern === 'string') new RegExp(node.pattern, 'u')
      if (!Array.isArray(node.required) || typeof node.properties !== 'object') continue
      for (const name of node.required)
        assert.ok(Object.hasOwn(node.properties as Node, String(name)), `${path} ${name}`)
    }
  })

  it('shows examples that the edge accepts', async () => {
    const example = (path: string): unknown => {
      const { requestBody } = operations.find(one => one.path === path)!.operation as unknown as {
        requestBody: { content: { 'application/json': { example: unknown } } }
      }
      return requestBody.content['application/json'].example
    }
    assert.equal((await post('/v1/decisions', example('/v1/decisions'))).status, 200)
    assert.equal((await post('/fraud/detect', example('/fraud/detect'))).status, 200)
    assert.equal((await post('/v1/labels', example('/v1/labels'))).status, 202)
  })

  it('names every route that is there', async () => {
    const names: Record<string, string> = { transaction_id: 't-1', file: 'style.css', step: 'customer', key: 'c-1' }
    for (const { path, method } of operations) {
      const url = path.replace(/\{(\w+)\}/g, (_, name: string) => names[name]!)
      const body = path === '/v1/labels' ? label : transaction
      const answer =
        method === 'get'
          ? await get(url)
          : await send(url, {
              method: 'POST',
              headers: { 'content-type': 'application/json' },
              body: JSON.stringify(body),
            })
      assert.ok([200, 202, 404].includes(answer.status), `${method} ${url} ${answer.status}`)
      assert.ok(answer.status !== 404 || answer.json?.detail === 'no decision has this transaction id', url)
    }
  })

  it('leaves other paths 404, and other methods 405 with those allowed', async () => {
    for (const path of ['/nothing', '/v1', '/v1/decisions/a/b', '/console/none', '/console/../package.json', '//']) {
      assert.equal((await get(path)).status, 404, path)
    }
    for (const [method, path, allow] of [
      ['PUT', '/v1/decisions', 'POST'],
      ['GET', '/v1/labels?x=1', 'POST'],
      ['DELETE', '/v1/decisions/t-1', 'GET, HEAD'],
      ['POST', '/v1/admin/state/customer/c-1', 'GET, HEAD'],
      ['POST', '/metrics', 'GET, HEAD'],
      ['OPTIONS', '/v1/decisions', 'POST'],
      ['PROPFIND', '/', 'GET, HEAD'],
      ['QUERY', '/v1/decisions/t-1', 'GET, HEAD'],
    ] as const) {
      const answer = await send(path, { method })
      assert.deepEqual([answer.status, answer.headers.get('allow')], [405, allow], `${method} ${path}`)
    }
  })
})
