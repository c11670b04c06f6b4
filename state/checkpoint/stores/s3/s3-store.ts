/**
 * The checkpoint store in a bucket of S3, or of a server that speaks its protocol.
 *
 * Invariants:
 * 1. An object is sent with its checksum, which the server checks, and read with the one that the server keeps.
 * 2. `create` is a conditional request (If-None-Match). An attempt whose answer did not arrive may have made the object: each
 *    call leaves a mark of its own in it, so that its repetition knows its own work from another's.
 * 3. Every request is bounded in time, attempts and bytes (`S3Limits`); only what may pass is repeated.
 * 4. No call keeps the event loop for longer than a slice takes.
 */
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { setImmediate as breathe, setTimeout as sleep } from 'node:timers/promises'
import { crc32, WeirError } from '../../../../kernel/index.js'
import { type CheckpointStore, checkObjectName, type StoredObject } from '../../store.js'
import { failureOf, type S3Failure } from './failure.js'
import { loadLibrary, type S3Client } from './library.js'
import { defaultLimits, type S3Limits, type S3Options } from './options.js'

type Library = Awaited<ReturnType<typeof loadLibrary>>

/** Of one request to delete. */
const deletedNamesMax = 1_000
/** Summed and sent in one go. */
const sliceBytes = 1 << 20
/** Metadata of an object: the call of `create` that made it. */
const markName = 'weir-create'

/**
 * Opens without a request: a server that is away is found by the first call, and a process may start without it.
 * @throws WeirError USAGE for an endpoint that is none
 */
export async function openS3Store(options: S3Options, limits: Partial<S3Limits> = {}): Promise<CheckpointStore> {
  return new S3CheckpointStore(await loadLibrary(), options, { ...defaultLimits, ...limits })
}

class S3CheckpointStore implements CheckpointStore {
  readonly #library: Library
  readonly #options: S3Options
  readonly #limits: S3Limits
  readonly #client: S3Client
  readonly #place: { readonly bucket: string; readonly server: string }
  readonly #closing = new AbortController()
  readonly #running = new Set<AbortController>()
  /** The server was seen to keep If-None-Match. */
  #isConditional = false

  constructor(library: Library, options: S3Options, limits: S3Limits) {
    this.#library = library
    this.#options = options
    this.#limits = limits
    const { credentials } = options
    const endpoint = options.endpoint ?? process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL
    const region = options.region ?? regionFor(endpoint)
    this.#place = { bucket: options.bucket, server: endpoint === undefined ? 'S3' : originOf(endpoint) }
    this.#client = new library.S3Client({
      ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
      ...(region === undefined ? {} : { region }),
      ...(credentials === undefined ? {} : { credentials }),
      // Attempts are counted here, because the SDK's end with the head of an answer.
      maxAttempts: 1,
      requestHandler: {
        connectionTimeout: limits.connectMsMax,
        socketTimeout: limits.stallMsMax,
        httpAgent: { maxSockets: limits.connectionsMax },
        httpsAgent: { maxSockets: limits.connectionsMax },
      },
      // Its warnings say less than our errors.
      logger: { debug: nothing, info: nothing, warn: nothing, error: nothing },
    })
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    await this.#attempts('put', name, signal => this.#send(name, bytes, signal))
  }

  async create(name: string, bytes: Uint8Array): Promise<boolean> {
    const isMade = await this.#createOnce(name, bytes)
    if (isMade && !this.#isConditional) {
      // Asked once: a server that does not know the condition overwrites, here with the same bytes.
      if (await this.#createOnce(name, bytes)) {
        throw this.#error(
          'create',
          name,
          `${this.#place.server} does not keep If-None-Match, so that two owners overwrite each other`,
        )
      }
      this.#isConditional = true
    }
    return isMade
  }

  async get(name: string): Promise<Buffer | undefined> {
    return this.#attempts('get', name, async abortSignal => {
      const command = new this.#library.GetObjectCommand({ ...this.#at(name), ChecksumMode: 'ENABLED' })
      const reply = await this.#unlessMissing('NoSuchKey', this.#client.send(command, { abortSignal }))
      return reply === undefined ? undefined : this.#whole(name, reply.Body as Readable, reply.ContentLength)
    })
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    const all = this.#options.prefix + prefix
    let after: string | undefined
    do {
      const page = await this.#attempts('list', prefix, abortSignal => {
        const command = new this.#library.ListObjectsV2Command({
          Bucket: this.#options.bucket,
          Prefix: all,
          MaxKeys: this.#limits.pageNamesMax,
          ...(after === undefined ? {} : { ContinuationToken: after }),
        })
        return this.#client.send(command, { abortSignal })
      })
      // S3 says these of an empty bucket, too; what says neither is a proxy's page, or nothing.
      if (page.Name === undefined && page.IsTruncated === undefined)
        throw this.#error('list', prefix, 'the answer is not that of an S3 server')
      for (const { Key, Size } of page.Contents ?? []) {
        if (Key === undefined || Size === undefined) throw this.#error('list', prefix, 'an object has no name or size')
        yield { name: Key.slice(this.#options.prefix.length), bytes: Size }
      }
      after = page.IsTruncated ? page.NextContinuationToken : undefined
      if (page.IsTruncated && after === undefined) throw this.#error('list', prefix, 'the list breaks off')
    } while (after !== undefined)
  }

  async delete(names: readonly string[]): Promise<void> {
    for (const name of names) checkObjectName(name)
    for (let from = 0; from < names.length; from += deletedNamesMax) {
      await this.#deleteSome(names.slice(from, from + deletedNamesMax))
    }
    if (names.length === 0) this.#checkOpen('delete', '')
  }

  async close(): Promise<void> {
    this.#closing.abort()
    for (const attempt of this.#running) attempt.abort()
    this.#client.destroy()
  }

  async #deleteSome(names: readonly string[]): Promise<void> {
    await this.#attempts('delete', names[0]!, async abortSignal => {
      const command = new this.#library.DeleteObjectsCommand({
        Bucket: this.#options.bucket,
        Delete: { Quiet: true, Objects: names.map(name => ({ Key: this.#options.prefix + name })) },
      })
      const { Errors = [] } = await this.#client.send(command, { abortSignal })
      const [first] = Errors
      if (first === undefined) return
      const name = first.Key?.slice(this.#options.prefix.length) ?? names[0]!
      const words = `${Errors.length} of ${names.length} were not deleted: ${first.Code ?? 'no code'} ${first.Message ?? ''}`
      throw this.#error('delete', name, words.trimEnd())
    })
  }

  /**
   * One conditional request, repeated where its outcome is not known.
   * @returns whether this call made the object
   */
  async #createOnce(name: string, bytes: Uint8Array): Promise<boolean> {
    const mark = randomUUID()
    let isUnheard = false
    return this.#attempts('create', name, async abortSignal => {
      try {
        await this.#send(name, bytes, abortSignal, mark)
        return true
      } catch (error) {
        if (this.#failureOf(error)?.status === 412) return isUnheard && (await this.#markOf(name, abortSignal)) === mark
        isUnheard = true
        throw error
      }
    })
  }

  async #markOf(name: string, abortSignal: AbortSignal): Promise<string | undefined> {
    const command = new this.#library.HeadObjectCommand(this.#at(name))
    // A HEAD has no body to say more in.
    const reply = await this.#unlessMissing('NotFound', this.#client.send(command, { abortSignal }))
    return reply?.Metadata?.[markName]
  }

  /** @param mark of a conditional request */
  async #send(name: string, bytes: Uint8Array, abortSignal: AbortSignal, mark?: string): Promise<void> {
    this.#checkSize('put', name, bytes.length)
    const command = new this.#library.PutObjectCommand({
      ...this.#at(name),
      // A stream, because the SDK would hash a buffer in one go to sign it; the checksum is among what is signed.
      Body: Readable.from(slicesOf(bytes), { objectMode: false, highWaterMark: sliceBytes }),
      ContentLength: bytes.length,
      ChecksumCRC32: await checksumOf(bytes),
      ...(mark === undefined ? {} : { IfNoneMatch: '*', Metadata: { [markName]: mark } }),
    })
    await this.#client.send(command, { abortSignal })
  }

  async #whole(name: string, body: Readable, length: number | undefined): Promise<Buffer> {
    if (length === undefined) throw this.#error('get', name, 'the server does not say how many bytes it has')
    this.#checkSize('get', name, length)
    const whole = Buffer.allocUnsafe(length)
    let at = 0
    for await (const chunk of body as AsyncIterable<Buffer>) at += chunk.copy(whole, at)
    if (at !== length) throw new Error(`ends after ${at} of ${length} bytes`)
    return whole
  }

  /** @param missing how an answer of 404 is named where the object is not there; others are of who is not S3 */
  async #unlessMissing<T>(missing: 'NoSuchKey' | 'NotFound', reply: Promise<T>): Promise<T | undefined> {
    try {
      return await reply
    } catch (error) {
      if (this.#failureOf(error)?.name === missing) return undefined
      throw error
    }
  }

  async #attempts<T>(verb: string, name: string, attempt: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (verb !== 'list') checkObjectName(name)
    for (let attempts = 1; ; attempts++) {
      this.#checkOpen(verb, name)
      const failure = await this.#attempt(attempt)
      if ('result' in failure) return failure.result
      this.#checkOpen(verb, name)
      if (!failure.isWorthRepeating) throw this.#error(verb, name, failure.words)
      if (attempts === this.#limits.attemptsMax) {
        const code = failure.name === 'ChecksumMismatch' ? 'CHECKPOINT_CORRUPT' : 'CHECKPOINT_STORE_FAILED'
        throw this.#error(verb, name, `${failure.words}, ${attempts} times`, code)
      }
      await this.#pause(this.#limits.pauseMs * 2 ** (attempts - 1))
    }
  }

  /** Given up after its time, and when the store is closed. */
  async #attempt<T>(attempt: (signal: AbortSignal) => Promise<T>): Promise<{ result: T } | S3Failure> {
    const end = new AbortController()
    const timer = setTimeout(() => end.abort(), this.#limits.attemptMsMax)
    this.#running.add(end)
    try {
      return { result: await attempt(end.signal) }
    } catch (error) {
      // A body that is given up looks like one that broke off.
      const failure = this.#failureOf(end.signal.aborted ? end.signal.reason : error)
      if (failure === undefined) throw error
      return failure
    } finally {
      clearTimeout(timer)
      this.#running.delete(end)
    }
  }

  /** Until the time is over, or the store is closed. */
  async #pause(ms: number): Promise<void> {
    try {
      await sleep(ms, undefined, { signal: this.#closing.signal })
    } catch (error) {
      if (!this.#closing.signal.aborted) throw error
    }
  }

  /** undefined for what is in its final words already. */
  #failureOf(error: unknown): S3Failure | undefined {
    return error instanceof WeirError ? undefined : failureOf(error, this.#place)
  }

  #checkSize(verb: string, name: string, length: number): void {
    const { objectBytesMax } = this.#limits
    if (length > objectBytesMax) {
      throw this.#error(verb, name, `it has ${length} bytes, more than ${objectBytesMax}`)
    }
  }

  #checkOpen(verb: string, name: string): void {
    if (this.#closing.signal.aborted) throw this.#error(verb, name, 'the store is closed')
  }

  #error(
    verb: string,
    name: string,
    words: string,
    code: 'CHECKPOINT_CORRUPT' | 'CHECKPOINT_STORE_FAILED' = 'CHECKPOINT_STORE_FAILED',
  ): WeirError {
    const { bucket, prefix } = this.#options
    return new WeirError(code, `could not ${verb} s3://${bucket}/${prefix}${name}: ${words}`)
  }

  #at(name: string): { Bucket: string; Key: string } {
    return { Bucket: this.#options.bucket, Key: this.#options.prefix + name }
  }
}

/** Without what stands before the host: it may be a password. */
function originOf(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new WeirError('USAGE', 'the endpoint of an S3 store is given as https://HOST[:PORT], without credentials')
  }
  return url.origin
}

const nothing = (): void => {}

/** Servers that are not AWS take any region, and most expect this one. */
const regionFor = (endpoint: string | undefined): string | undefined =>
  process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? (endpoint === undefined ? undefined : 'us-east-1')

function* slicesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += sliceBytes) yield bytes.subarray(at, at + sliceBytes)
}

/** CRC-32, big-endian, in base64: what S3 calls it by. */
async function checksumOf(bytes: Uint8Array): Promise<string> {
  let sum = 0
  for (const slice of slicesOf(bytes)) {
    sum = crc32(slice, sum)
    await breathe()
  }
  const encoded = Buffer.alloc(4)
  encoded.writeUInt32BE(sum)
  return encoded.toString('base64')
}
