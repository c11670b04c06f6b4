/** The log and the state backend as a simulated slot gets them: the real ones, held up and with faults. */
import { WeirError } from '../../kernel/index.js'
import type { Log, LogCommitter } from '../../log/index.js'
import type { RangeOptions, StateBackend, StateEntry, StateSnapshot, WriteBatch } from '../../state/index.js'
import type { Chaos } from './chaos.js'

/** Waits until a call of a log may go on. */
export interface Hold {
  pass(call: 'commit' | 'committer'): Promise<void>
}

/**
 * Holds up the next commit until it is let through: what a long pause of the process does between its last look at the
 * world and its write.
 */
export class Gate implements Hold {
  #armed: (() => void) | undefined
  #open: (() => void) | undefined

  /** @returns resolves when a commit is held up */
  arm(): Promise<void> {
    return new Promise(resolve => {
      this.#armed = resolve
    })
  }

  disarm(): void {
    this.#armed = undefined
  }

  letThrough(): void {
    this.#open?.()
    this.#open = undefined
  }

  async pass(call: 'commit' | 'committer'): Promise<void> {
    const armed = this.#armed
    if (armed === undefined || call === 'committer') return
    this.#armed = undefined
    const opened = new Promise<void>(resolve => {
      this.#open = resolve
    })
    armed()
    await opened
  }
}

export function heldLog(log: Log, hold: Hold): Log {
  return {
    totalOrder: log.totalOrder,
    createTopic: (topic, partitions) => log.createTopic(topic, partitions),
    partitionCount: topic => log.partitionCount(topic),
    range: at => log.range(at),
    reader: from => log.reader(from),
    committer: async id => {
      await hold.pass('committer')
      return heldCommitter(await log.committer(id), hold)
    },
    close: () => log.close(),
  }
}

const heldCommitter = (committer: LogCommitter, hold: Hold): LogCommitter => ({
  id: committer.id,
  commit: async appends => {
    await hold.pass('commit')
    return await committer.commit(appends)
  },
  close: () => committer.close(),
})

export class FaultyBackend implements StateBackend {
  readonly #inner: StateBackend
  readonly #chaos: Chaos

  constructor(inner: StateBackend, chaos: Chaos) {
    this.#inner = inner
    this.#chaos = chaos
  }

  async getMany(keys: readonly Buffer[]): Promise<(Buffer | undefined)[]> {
    if (this.#chaos.stateFault('read') !== undefined) throw failure('read')
    return this.#inner.getMany(keys)
  }

  async range(options: RangeOptions): Promise<StateEntry[]> {
    if (this.#chaos.stateFault('read') !== undefined) throw failure('read')
    return this.#inner.range(options)
  }

  async snapshot(range: { readonly gte: Buffer; readonly lt: Buffer }): Promise<StateSnapshot> {
    if (this.#chaos.stateFault('read') !== undefined) throw failure('read')
    return await this.#inner.snapshot(range)
  }

  batch(): WriteBatch {
    return this.#inner.batch()
  }

  async write(batch: WriteBatch, options: { readonly sync: boolean }): Promise<void> {
    const fault = this.#chaos.stateFault('write')
    if (fault !== 'refused') await this.#inner.write(batch, options)
    if (fault !== undefined) throw failure('write')
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}

const failure = (what: string): WeirError => new WeirError('BACKEND_FAILED', `injected: ${what} of the state`)
