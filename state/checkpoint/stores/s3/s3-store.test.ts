/** What a real server cannot be asked for: answers that break off, come twice, do not come. The rest is s3.services.test.ts. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { describe, it, type TestContext } from 'node:test'
import { crc32, isWeirError } from '../../../../kernel/index.js'
import type { CheckpointStore } from '../../store.js'
import { openS3Store, parseS3Url, type S3Limits } from './index.js'
import { refusedWithout } from './refused-for-tests.js'

const credentials = { accessKeyId: 'AKIDKNOWN', secretAccessKey: 'never-to-be-shown', sessionToken: 'token-not-shown' }

interface Request {
  readonly method: string
  /** Path and query, as sent. */
  readonly url: URL
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

type Answer = (request: Request, reply: ServerResponse) => void

/** A store whose server gives these answers, one a request, the last one for all that follow. */
async function scripted(
  t: TestContext,
  answers: readonly Answer[],
  limits: Partial<S3Limits> = {},
): Promise<{ store: CheckpointStore; requests: Request[] }> {
  const requests: Request[] = []
  const server = createServer(async (incoming, reply) => {
    const parts: Buffer[] = []
    for await (const part of incoming) parts.push(part as Buffer)
    const { method = '', url = '', headers } = incoming
    const request = { method, url: new URL(url, 'http://x'), headers, body: Buffer.concat(parts) }
    requests.push(request)
    answers[Math.min(requests.length, answers.length) - 1]!(request, reply)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const store = await openS3Store(
    { bucket: 'bucket', prefix: 'app/', endpoint: `http://127.0.0.1:${port}`, region: 'eu-west-1', credentials },
    { pauseMs: 1, ...limits },
  )
  t.after(async () => {
    await store.close()
    server.closeAllConnections()
    server.close()
  })
  return { store, requests }
}

const ok: Answer = (_, reply) => reply.end()
const failing =
  (status: number, code: string, message = 'because'): Answer =>
  (_, reply) =>
    reply
      .writeHead(status, { 'content-type': 'application/xml' })
      .end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`)
const cut: Answer = (_, reply) => reply.socket?.resetAndDestroy()
const silent: Answer = () => {}
const object =
  (bytes: Buffer, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_, reply) =>
    reply.writeHead(200, { 'content-length': bytes.length, ...headers }).end(bytes)
const markedAs =
  (mark: (requests: Request[]) => string, requests: () => Request[]): Answer =>
  (_, reply) =>
    reply.writeHead(200, { 'x-amz-meta-weir-create': mark(requests()) }).end()

const failure = (work: Promise<unknown>, code?: string): Promise<string> =>
  refusedWithout(Object.values(credentials), work, code)

const bytes = Buffer.from('value')
const checksum = (value: Buffer): string => {
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(value))
  return sum.toString('base64')
}

describe('a request of the S3 store', () => {
  it('names bucket and prefix in its path, and sends bytes with their checksum', async t => {
    const { store, requests } = await scripted(t, [ok])
    await store.put('a/b', bytes)
    const [{ method, url, headers, body }] = requests as [Request]
    assert.equal(`${method} ${url.pathname}`, 'PUT /bucket/app/a/b')
    assert.deepEqual(body, bytes)
    assert.equal(headers['x-amz-checksum-crc32'], checksum(bytes))
    assert.equal(headers['if-none-match'], undefined)
    assert.match(headers.authorization!, /SignedHeaders=[^,]*x-amz-checksum-crc32/)
  })

  it('is repeated when the server is overloaded, gone or hangs up, as often as the bound says', async t => {
    for (const passing of [failing(503, 'SlowDown'), failing(500, 'InternalError'), failing(429, 'x'), cut]) {
      const { store, requests } = await scripted(t, [passing, passing, ok])
      await store.put('a', bytes)
      assert.equal(requests.length, 3)
      assert.deepEqual(requests[2]!.body, bytes, 'whole again')
      const never = await scripted(t, [passing], { attemptsMax: 3 })
      assert.match(await failure(never.store.put('a', bytes)), /^could not put s3:\/\/bucket\/app\/a: .*, 3 times$/)
      assert.equal(never.requests.length, 3)
    }
  })

  it('is not repeated when the answer will be the same', async t => {
    for (const [code, status, words] of [
      ['SignatureDoesNotMatch', 403, 'refuses these credentials (SignatureDoesNotMatch)'],
      ['AccessDenied', 403, 'refuses these credentials (AccessDenied)'],
      ['NoSuchBucket', 404, "there is no bucket 'bucket'"],
      ['PermanentRedirect', 301, "bucket 'bucket' is in another region"],
      ['BadDigest', 400, 'answers 400 BadDigest: because'],
    ] as const) {
      const { store, requests } = await scripted(t, [failing(status, code)])
      for (const call of ['put', 'get', 'create', 'delete'] as const) {
        const what = await failure(call === 'delete' ? store.delete(['a']) : store[call]('a', bytes))
        assert.ok(what.includes(words), what)
      }
      assert.equal(requests.length, 4)
    }
  })

  it('that a proxy answers in words of its own fails without them', async t => {
    const html: Answer = (_, reply) => reply.writeHead(404).end('<html><body>not here</body></html>')
    const { store } = await scripted(t, [html])
    assert.match(await failure(store.get('a')), /answers 404, not as S3 does$/)
    assert.match(await failure(store.put('a', bytes)), /answers 404, not as S3 does$/)
    assert.match(await failure(store.delete(['a'])), /answers 404, not as S3 does$/)
  })

  it('does not wait longer than the bounds say, for an answer or its body', async t => {
    const half: Answer = (_, reply) => reply.writeHead(200, { 'content-length': 10 }).write('half')
    for (const answer of [silent, half]) {
      for (const bound of [{ attemptMsMax: 150 }, { stallMsMax: 150 }]) {
        const { store, requests } = await scripted(t, [answer], { ...bound, attemptsMax: 2 })
        assert.match(await failure(store.get('a')), /does not answer in time, 2 times$|breaks the connection off/)
        assert.equal(requests.length, 2)
      }
    }
  })

  it('ends when the store is closed', async t => {
    const waiting = await scripted(t, [silent])
    const pausing = await scripted(t, [failing(503, 'SlowDown')], { pauseMs: 600_000 })
    for (const { store, requests } of [waiting, pausing]) {
      const work = failure(store.get('a'))
      while (requests.length === 0) await new Promise(resolve => setImmediate(resolve))
      await store.close()
      assert.match(await work, /the store is closed/)
      assert.equal(requests.length, 1)
    }
  })
})

describe('what the S3 store reads', () => {
  it('is asked for again when it breaks off or does not fit its checksum', async t => {
    const torn: Answer = (_, reply) => {
      reply.writeHead(200, { 'content-length': 10 }).write('half')
      setImmediate(() => reply.socket?.resetAndDestroy())
    }
    const changed = object(Buffer.from('vAlue'), { 'x-amz-checksum-crc32': checksum(bytes) })
    const good = object(bytes, { 'x-amz-checksum-crc32': checksum(bytes) })
    for (const bad of [torn, changed]) {
      const { store, requests } = await scripted(t, [bad, good])
      assert.deepEqual(await store.get('a'), bytes)
      assert.equal(requests[0]!.headers['x-amz-checksum-mode'], 'ENABLED')
    }
    const never = await scripted(t, [changed])
    assert.match(await failure(never.store.get('a'), 'CHECKPOINT_CORRUPT'), /its checksum does not fit its bytes/)
  })

  it('has a bound', async t => {
    const { store, requests } = await scripted(t, [object(bytes)], { objectBytesMax: 4 })
    assert.match(await failure(store.get('a')), /it has 5 bytes, more than 4/)
    assert.match(await failure(store.put('a', bytes)), /it has 5 bytes, more than 4/)
    assert.match(await failure(store.create('a', bytes)), /it has 5 bytes, more than 4/)
    assert.equal(requests.length, 1)
  })
})

describe('create of the S3 store', () => {
  const there = failing(412, 'PreconditionFailed')
  const markOf = ([first]: Request[]): string => first!.headers['x-amz-meta-weir-create'] as string

  it('is conditional, and the condition is tried out once', async t => {
    const { store, requests } = await scripted(t, [ok, there, ok])
    assert.equal(await store.create('a', bytes), true)
    assert.equal(await store.create('b', bytes), true)
    assert.deepEqual(
      requests.map(({ url, headers }) => [url.pathname, headers['if-none-match']]),
      ['a', 'a', 'b'].map(name => [`/bucket/app/${name}`, '*']),
    )
    assert.equal(await (await scripted(t, [there])).store.create('a', bytes), false)
  })

  it('is refused on a server that does not know the condition', async t => {
    const { store } = await scripted(t, [ok])
    assert.match(await failure(store.create('a', bytes)), /does not keep If-None-Match/)
    assert.match(await failure(store.create('a', bytes)), /does not keep If-None-Match/, 'not only once')
  })

  it('knows what it made itself when the answer did not arrive', async t => {
    const requests: Request[] = []
    const own = await scripted(t, [cut, there, markedAs(markOf, () => own.requests), there])
    assert.equal(await own.store.create('a', bytes), true)
    const others = await scripted(t, [
      cut,
      there,
      markedAs(
        () => 'another',
        () => requests,
      ),
    ])
    assert.equal(await others.store.create('a', bytes), false)
    const put = await scripted(t, [cut, there, ok])
    assert.equal(await put.store.create('a', bytes), false, 'an object without a mark')
    const gone = await scripted(t, [cut, there, (_, reply) => reply.writeHead(404).end()])
    assert.equal(await gone.store.create('a', bytes), false, 'deleted in between')
  })
})

describe('lists and deletes of the S3 store', () => {
  const page =
    (names: readonly string[], next?: string): Answer =>
    (_, reply) => {
      const objects = names.map(name => `<Contents><Key>app/${name}</Key><Size>7</Size></Contents>`).join('')
      const more =
        next === undefined ? 'false' : `true</IsTruncated><NextContinuationToken>${next}</NextContinuationToken>`
      const end = next === undefined ? '</IsTruncated>' : ''
      reply
        .writeHead(200, { 'content-type': 'application/xml' })
        .end(`<ListBucketResult><IsTruncated>${more}${end}${objects}</ListBucketResult>`)
    }
  const listed = async (store: CheckpointStore, prefix = ''): Promise<string[]> => {
    const names: string[] = []
    for await (const { name, bytes: size } of store.list(prefix)) {
      assert.equal(size, 7)
      names.push(name)
    }
    return names
  }

  it('go through all pages, each repeated by itself', async t => {
    const pages = [page(['a', 'b'], 'one'), cut, page(['c'], 'two'), page(['d'])]
    const { store, requests } = await scripted(t, pages, { pageNamesMax: 2 })
    assert.deepEqual(await listed(store, 'x/'), ['a', 'b', 'c', 'd'])
    assert.deepEqual(
      requests.map(({ url: { searchParams: query } }) =>
        [query.get('prefix'), query.get('max-keys'), query.get('continuation-token')].join(),
      ),
      ['app/x/,2,', 'app/x/,2,one', 'app/x/,2,one', 'app/x/,2,two'],
    )
  })

  it('fail where a list breaks off', async t => {
    const broken: Answer = (_, reply) =>
      reply.end('<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>')
    const { store } = await scripted(t, [broken])
    assert.match(await failure(listed(store)), /the list breaks off/)
  })

  it('are not taken for empty where something else than S3 answers', async t => {
    for (const words of ['', '<html><body>please sign in</body></html>', '<Error/>']) {
      const { store } = await scripted(t, [(_, reply) => reply.end(words)])
      assert.match(await failure(listed(store)), /not that of an S3 server/)
    }
    const empty = '<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated></ListBucketResult>'
    const { store } = await scripted(t, [(_, reply) => reply.end(empty)])
    assert.deepEqual(await listed(store), [])
  })

  it('say what was not deleted, in a reply that says 200', async t => {
    const partly: Answer = (_, reply) =>
      reply.end(
        '<DeleteResult><Error><Key>app/b</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>',
      )
    const { store } = await scripted(t, [partly])
    const what = await failure(store.delete(['a', 'b', 'c']))
    assert.match(what, /could not delete s3:\/\/bucket\/app\/b: 1 of 3 were not deleted: AccessDenied no/)
  })

  it('go in requests of a thousand', async t => {
    const done: Answer = (_, reply) => reply.end('<DeleteResult></DeleteResult>')
    const { store, requests } = await scripted(t, [done])
    await store.delete(Array.from({ length: 2_001 }, (_, i) => `n/${i}`))
    assert.deepEqual(
      requests.map(({ body }) => body.toString().split('<Key>').length - 1),
      [1_000, 1_000, 1],
    )
    assert.match(requests[2]!.body.toString(), /<Key>app\/n\/2000<\/Key>/)
  })
})

describe('the address of an S3 store', () => {
  it('has no credentials in its endpoint', async () => {
    for (const endpoint of ['http://key:never-to-be-shown@127.0.0.1:1', 'ftp://127.0.0.1', '127.0.0.1:9000', '']) {
      await failure(openS3Store({ bucket: 'bucket', prefix: '', endpoint }), 'USAGE')
    }
  })

  it('is a bucket and perhaps a prefix', () => {
    assert.deepEqual(parseS3Url('s3://bucket'), { bucket: 'bucket', prefix: '' })
    assert.deepEqual(parseS3Url('s3://my.bucket-1/'), { bucket: 'my.bucket-1', prefix: '' })
    assert.deepEqual(parseS3Url('s3://bucket/a/b_c'), { bucket: 'bucket', prefix: 'a/b_c/' })
    for (const bad of [
      '',
      'bucket',
      's3://',
      's3://B',
      's3://key:secret@bucket/a',
      's3://bucket/a b',
      's3://bucket/../a',
      's3://bucket/?region=x',
      `s3://bucket/${'x'.repeat(124)}`,
      'https://bucket',
    ]) {
      assert.throws(
        () => parseS3Url(bad),
        error => isWeirError(error, 'USAGE') && !error.message.includes('secret'),
        bad,
      )
    }
  })
})
