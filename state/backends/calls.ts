/**
 * Calls to a native database that are under way. Both bindings crash or hang when a database is used after its close, so
 * every call passes here, and a close waits for those that have begun.
 */
import { messageOf, WeirError } from '../../kernel/index.js'

export class Calls {
  closed = false
  readonly #underWay = new Set<Promise<unknown>>()

  /** @throws WeirError BACKEND_FAILED once it is closed */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.closed) throw new WeirError('BACKEND_FAILED', 'RocksDB is closed')
    const running = work()
    this.#underWay.add(running)
    try {
      return await running
    } finally {
      this.#underWay.delete(running)
    }
  }

  /** No call begins any more; resolves when none is under way. */
  async close(): Promise<void> {
    this.closed = true
    await Promise.allSettled([...this.#underWay])
  }
}

export function failed(what: string, cause: unknown): WeirError {
  return new WeirError('BACKEND_FAILED', `RocksDB could not ${what}: ${messageOf(cause)}`, { cause })
}

/** Why a database did not open. */
export function notOpened(directory: string, cause: Error): WeirError {
  if (/lock/i.test(cause.message) && /LOCK/.test(cause.message)) {
    return new WeirError('DIRECTORY_IN_USE', `${directory} is open elsewhere`, { cause })
  }
  return failed(`open ${directory}`, cause)
}
