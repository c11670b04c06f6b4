import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isWeirError } from '../../kernel/index.js'
import { WeirClient } from './client.js'
import { Lanes } from './lanes.js'
import { linesOf } from './lines.js'
import { Sender } from './send.js'
import { fakeWeir, problem } from './testing/fake-weir.js'

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const taken: T[] = []
  for await (const item of items) taken.push(item)
  return taken
}

async function* chunksOf(text: string, cuts: readonly number[]): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text)
  const at = [...cuts.map(cut => cut % (bytes.length + 1)), 0, bytes.length].sort((a, b) => a - b)
  for (let i = 1; i < at.length; i++) yield bytes.subarray(at[i - 1], at[i])
}

describe('lines', () => {
  it('are the same however the bytes are cut', async () => {
    const line = fc.string({ unit: fc.constantFrom('a', 'é', '{', '"'), maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(fc.array(line), fc.array(fc.nat()), fc.boolean(), async (lines, cuts, ended) => {
        const text = lines.join('\n') + (ended ? '\n' : '')
        const read = (await all(linesOf(chunksOf(text, cuts)))).map(bytes => bytes.toString())
        assert.deepEqual(
          read,
          lines.filter(one => one !== ''),
        )
      }),
    )
  })

  it('have a bound', async () => {
    async function* endless(): AsyncGenerator<Buffer> {
      for (;;) yield Buffer.alloc(1 << 16, 'x')
    }
    await assert.rejects(all(linesOf(endless())), error => isWeirError(error, 'MALFORMED_RECORD'))
  })
})

describe('lanes', () => {
  it('keep the order of each key and the bound of what is under way', async () => {
    const done: number[][] = [[], [], []]
    let underWay = 0
    let most = 0
    const lanes = new Lanes<{ key: number; n: number }>(2, async ({ key, n }) => {
      most = Math.max(most, ++underWay)
      for (let i = 0; i < (n * 5) % 3; i++) await Promise.resolve()
      done[key]!.push(n)
      underWay--
    })
    for (let n = 0; n < 500; n++) await lanes.put(`key ${n % 3}`, { key: n % 3, n })
    await lanes.drain()
    assert.equal(most, 2)
    for (const [key, seen] of done.entries()) {
      assert.deepEqual(
        seen,
        Array.from({ length: 500 }, (_, n) => n).filter(n => n % 3 === key),
      )
    }
  })

  it('stop at the first failure, which whoever puts or waits is told, also while the lane is full', async () => {
    let begun = 0
    const lanes = new Lanes<number>(1, async n => {
      begun++
      await new Promise(resolve => setImmediate(resolve))
      if (n === 3) throw new Error('three')
    })
    const putting = (async () => {
      for (let n = 0; n < 1_000; n++) await lanes.put('key', n)
    })()
    await assert.rejects(putting, /three/)
    await assert.rejects(lanes.drain(), /three/)
    assert.equal(begun, 4)
  })
})

describe('sending', () => {
  const body = Buffer.from('{}')

  it('gives up what is refused for longer than patience, and says how', async () => {
    const fake = await fakeWeir()
    fake.onPost = () => problem(429, 'QUEUE_FULL')
    const client = new WeirClient({ url: fake.url })
    const { reply } = await new Sender(client, new AbortController().signal, 0).send('/v1/decisions', body)
    assert.equal(reply.kind === 'refused' && reply.refusal.code, 'QUEUE_FULL')
    client.close()
  })

  it('gives up a server that has gone, after it had been there', async () => {
    const fake = await fakeWeir()
    const client = new WeirClient({ url: fake.url })
    const sender = new Sender(client, new AbortController().signal, 60)
    await sender.send('/v1/decisions', body)
    await fake.close()
    await assert.rejects(sender.send('/v1/decisions', body), error => isWeirError(error, 'UNREACHABLE'))
    client.close()
  })

  it('an abort ends the waiting', async () => {
    const fake = await fakeWeir()
    const controller = new AbortController()
    fake.onPost = () => {
      setImmediate(() => controller.abort())
      return problem(503, 'NOT_READY', { 'retry-after': '60' })
    }
    const client = new WeirClient({ url: fake.url })
    await assert.rejects(new Sender(client, controller.signal).send('/v1/decisions', body), { name: 'AbortError' })
    client.close()
  })
})

describe('a client', () => {
  it('tells a Weir from what is none', async () => {
    const fake = await fakeWeir()
    const client = new WeirClient({ url: fake.url })
    const asks = (): Promise<boolean> => client.answers(AbortSignal.timeout(5_000))
    assert.equal(await asks(), true)
    for (const body of [{ status: 'up' }, 'ok', null]) {
      fake.onGet = () => ({ status: 200, body })
      assert.equal(await asks(), false)
    }
    await fake.close()
    assert.equal(await asks(), false)
    client.close()
  })

  it('takes what a server says for an error of its own code only where it is one', async () => {
    const fake = await fakeWeir()
    const client = new WeirClient({ url: fake.url })
    for (const [code, expected] of [
      ['AMBIGUOUS_ID', 'AMBIGUOUS_ID'],
      ['NEW_IN_ANOTHER_VERSION', 'UNREACHABLE'],
      ['toString', 'UNREACHABLE'],
    ] as const) {
      fake.onGet = () => problem(409, code)
      await assert.rejects(client.decision('x', undefined), error => isWeirError(error, expected))
    }
    client.close()
  })

  it('asks for ids of any characters, and follows to the end or to a broken connection', async () => {
    const fake = await fakeWeir()
    const client = new WeirClient({ url: fake.url })
    const paths: string[] = []
    fake.onGet = (path, response) => {
      paths.push(path)
      if (!path.startsWith('/v1/stream')) return { status: 200, body: {} }
      response.writeHead(200).write('{"n":1}\n{"n"')
      if (path.includes('count')) response.end(':2}\n')
      else setImmediate(() => response.destroy())
      return undefined
    }
    await client.decision('a/b?c', 'ü&1')
    assert.deepEqual(paths, ['/v1/decisions/a%2Fb%3Fc?customer_id=%C3%BC%261'])
    const { signal } = new AbortController()
    const lines = await all(client.decisions({ from: 'end', count: 2, signal }))
    assert.deepEqual(lines.map(String), ['{"n":1}', '{"n":2}'])
    const broken = all(client.decisions({ from: 'end', count: undefined, signal }))
    await assert.rejects(broken, error => isWeirError(error, 'UNREACHABLE'))
    client.close()
  })

  it('refuses an address that is none', () => {
    for (const url of ['', 'localhost', 'localhost:8080', 'ftp://x', 'http://x/path', 'http://x/?a=1']) {
      assert.throws(
        () => new WeirClient({ url }),
        error => isWeirError(error, 'USAGE'),
      )
    }
  })
})
