/**
 * Connections to brokers: one for each broker and owner. A reader, a committer and the administration each have their own,
 * so that closing those of a dead committer (I5) touches nobody else.
 *
 * Invariants:
 * 1. A connection that lost an answer, or whose answer could not be read, is closed and never used again.
 * 2. No error carries the password: what the library says of a failed log-in is not passed on.
 */
import { isIP } from 'node:net'
import { messageOf, WeirError } from '../../kernel/index.js'
import type { Connection, KafkaLibrary } from './library.js'
import type { KafkaAddress, KafkaSettings } from './options.js'
import { type ApiVersions, apiVersions, type Request, requiredRequests } from './requests/index.js'
import { ConnectionLost } from './retry.js'
import { WireReader, WireWriter } from './wire.js'

/** The owner's set of connections. */
export class Connections {
  readonly #library: KafkaLibrary
  readonly #settings: KafkaSettings
  readonly #open = new Map<string, Promise<BrokerConnection>>()
  /** Those of `#open` that have not said yet what the broker speaks; one that hangs would not for long. */
  readonly #beginning = new Set<BrokerConnection>()
  #closed = false

  constructor(library: KafkaLibrary, settings: KafkaSettings) {
    this.#library = library
    this.#settings = settings
  }

  /**
   * The connection to the broker that advertises this address.
   * @throws ConnectionLost when there is none to be had now; WeirError KAFKA_REFUSED, KAFKA_UNSUPPORTED
   */
  async to(advertised: KafkaAddress): Promise<BrokerConnection> {
    const key = `${advertised.host}:${advertised.port}`
    const known = this.#open.get(key)
    if (known !== undefined) {
      const connection = await known
      if (connection.usable) return connection
      if (this.#open.get(key) === known) {
        this.#open.delete(key)
        connection.retire()
      }
    }
    if (this.#closed) throw new ConnectionLost('the connections are closed')
    const opening = this.#open.get(key) ?? this.#connect(key, advertised)
    this.#open.set(key, opening)
    const connection = await opening
    if (this.#closed) {
      await connection.close()
      throw new ConnectionLost('the connections are closed')
    }
    return connection
  }

  async close(): Promise<void> {
    this.#closed = true
    const open = [...this.#open.values()]
    this.#open.clear()
    for (const connection of this.#beginning) void connection.close()
    await Promise.all(
      open.map(async opening => {
        try {
          await (await opening).close()
        } catch (error) {
          // One that never opened has nothing to close.
          if (!(error instanceof ConnectionLost) && !(error instanceof WeirError)) throw error
        }
      }),
    )
  }

  async #connect(key: string, advertised: KafkaAddress): Promise<BrokerConnection> {
    const address = this.#settings.addressOf?.(advertised) ?? advertised
    const connection = new BrokerConnection(this.#library, this.#settings, address)
    this.#beginning.add(connection)
    try {
      await connection.open()
      return connection
    } catch (error) {
      this.#open.delete(key)
      throw error
    } finally {
      this.#beginning.delete(connection)
    }
  }
}

export class BrokerConnection {
  readonly #library: KafkaLibrary
  readonly #at: KafkaAddress
  readonly #connection: Connection
  #lastError: unknown
  #versions: ApiVersions | undefined
  #broken = false
  #underWay = 0
  #retired = false

  constructor(library: KafkaLibrary, settings: KafkaSettings, at: KafkaAddress) {
    const { limits, tls, sasl, clientId } = settings
    this.#library = library
    this.#at = at
    this.#connection = new library.Connection(clientId, {
      connectTimeout: limits.connectMsMax,
      requestTimeout: limits.requestMsMax,
      ...(tls === undefined ? {} : { tls, tlsServerName: isIP(at.host) === 0 }),
      ...(sasl === undefined ? {} : { sasl }),
    })
    // Failures are told by the request that met them; without a listener they would end the process.
    this.#connection.on('error', error => {
      this.#broken = true
      this.#lastError = error
    })
  }

  /** Before the first request. @throws ConnectionLost; WeirError KAFKA_REFUSED, KAFKA_UNSUPPORTED */
  async open(): Promise<void> {
    try {
      await this.#connection.connect(this.#at.host, this.#at.port)
    } catch (error) {
      await this.close()
      throw connectFailure(this.address, error)
    }
    try {
      await this.#learnVersions()
    } catch (error) {
      await this.close()
      // With TLS 1.3 a broker refuses a client's certificate, or its absence, after the handshake has succeeded here.
      const refused = error instanceof ConnectionLost && this.#lastError !== undefined
      throw refused ? connectFailure(this.address, this.#lastError) : error
    }
  }

  get address(): string {
    return `${this.#at.host}:${this.#at.port}`
  }

  /** False too while the library logs in again, which leaves no room for other requests. */
  get usable(): boolean {
    return !this.#broken && this.#connection.isConnected()
  }

  get transactionVersion(): number {
    return this.#versions?.features.get('transaction.version') ?? 0
  }

  /**
   * The broker's answer.
   * @throws ConnectionLost when none came, or none that could be read: the request may have been carried out
   */
  request<Args, Answer>(asked: Request<Args, Answer>, args: Args): Promise<Answer> {
    const { Writer } = this.#library
    this.#underWay++
    return new Promise((resolve, reject) => {
      const payload = () => {
        const to = new WireWriter()
        asked.write(to, args)
        const writer = Writer.create()
        for (const chunk of to.chunks()) writer.append(chunk)
        return writer
      }
      this.#connection.send<Answer>(
        asked.key,
        asked.version,
        payload,
        (_correlation, _key, _version, reader) => asked.read(new WireReader(reader.buffer.slice())),
        true,
        asked.plainHeader !== true,
        (error, answer) => {
          this.#underWay--
          if (error !== null) this.#broken = true
          if (this.#broken || (this.#retired && this.#underWay === 0)) void this.#connection.close()
          if (error === null) return resolve(answer as Answer)
          reject(new ConnectionLost(`${asked.name} to ${this.address}: ${describe(error)}`))
        },
      )
    })
  }

  /** Closes once what is under way is answered. */
  retire(): void {
    this.#retired = true
    if (this.#underWay === 0) void this.#connection.close()
  }

  async close(): Promise<void> {
    this.#broken = true
    await this.#connection.close()
  }

  async #learnVersions(): Promise<void> {
    const versions = await this.request(apiVersions, { software: 'weir' })
    const lacking = requiredRequests.filter(({ key, version }) => {
      const range = versions.ranges.get(key)
      return range === undefined || version < range.min || version > range.max
    })
    if (lacking.length > 0) {
      const list = lacking.map(({ name, version }) => `${name} v${version}`).join(', ')
      throw new WeirError('KAFKA_UNSUPPORTED', `the broker ${this.address} does not speak ${list}`)
    }
    this.#versions = versions
  }
}

/** What is wrong with credentials or certificates stays wrong; everything else may be over in a moment. */
function connectFailure(address: string, error: unknown): Error {
  const refused = causesOf(error).find(cause => isTlsFailure(cause) || isLogInFailure(cause))
  if (refused === undefined) return new ConnectionLost(`no connection to ${address}: ${describe(error)}`)
  const why = isTlsFailure(refused) ? describe(refused) : 'the log-in was refused: check mechanism, user and password'
  return new WeirError('KAFKA_REFUSED', `no connection to ${address}: ${why}`)
}

type Cause = Error & { readonly code?: unknown }

function causesOf(error: unknown): Cause[] {
  const causes: Cause[] = []
  for (let next = error; next instanceof Error && causes.length < 8; next = next.cause) causes.push(next)
  return causes
}

const isTlsFailure = ({ code, message }: Cause): boolean =>
  (typeof code === 'string' && /CERT|ERR_TLS|ERR_SSL|SELF_SIGNED|UNABLE_TO_/.test(code)) ||
  /requires TLS|TLS handshake/.test(message)

/** A connection that breaks during the log-in is a network error inside of an authentication error. */
const isLogInFailure = (error: Cause): boolean =>
  error.code === 'PLT_KFK_AUTHENTICATION' && !causesOf(error).some(cause => cause.code === 'PLT_KFK_NETWORK')

/** The messages of an error and of what caused it, without repeats. */
const describe = (error: unknown): string => {
  const causes = causesOf(error)
  return causes.length === 0 ? messageOf(error) : [...new Set(causes.map(cause => cause.message))].join(': ')
}
