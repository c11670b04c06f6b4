/**
 * What `weir up` keeps in its one RocksDB, told apart by the first byte of the keys (design §4): log, state of the slot,
 * decision view. They are opened and closed together: after a failed write the log takes no more until it is opened again.
 */
import { join } from 'node:path'
import { type Clock, messageOf, WeirError } from '../../kernel/index.js'
import { EmbeddedLog } from '../../log/embedded/index.js'
import { keyGroupsFor, openRocksDb, type StateBackend, StateStore } from '../../state/index.js'
import { makeFolders } from '../folders/index.js'
import type { MemoryShare } from '../memory/index.js'
import { DecisionView } from './view.js'

export interface StorageOptions {
  readonly dataDir: string
  readonly memory: MemoryShare
  readonly clock: Clock
  /** Opens the database; RocksDB below `dataDir` unless a test brings a disk of its own. */
  readonly openDatabase?: () => Promise<StateBackend>
}

const stateNamespace = Buffer.of(0x53)

export class Storage {
  readonly log: EmbeddedLog
  readonly store: StateStore
  readonly view: DecisionView
  readonly #backend: StateBackend
  readonly #closing = new AbortController()

  /** @throws WeirError DIRECTORY_IN_USE, STATE_FORMAT, LOG_CORRUPT, BACKEND_FAILED, OUTPUT_UNWRITABLE */
  static async open(options: StorageOptions, topics: readonly string[]): Promise<Storage> {
    const backend = await (options.openDatabase ?? (() => openDatabaseIn(options)))()
    try {
      const log = await EmbeddedLog.open({ db: backend, clock: options.clock })
      for (const topic of topics) await log.createTopic(topic, 1)
      const store = await StateStore.open({
        backend,
        keyGroups: keyGroupsFor(1),
        cacheBytesMax: options.memory.cacheBytesMax,
        namespace: stateNamespace,
      })
      return new Storage(backend, log, store, await DecisionView.open(log, backend, 'decisions'))
    } catch (error) {
      await backend.close()
      throw error
    }
  }

  private constructor(backend: StateBackend, log: EmbeddedLog, store: StateStore, view: DecisionView) {
    this.#backend = backend
    this.log = log
    this.store = store
    this.view = view
  }

  /** Aborted once it closes: for those who read the log on their own. */
  get signal(): AbortSignal {
    return this.#closing.signal
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    await this.view.close()
    await this.log.close()
    await this.#backend.close()
  }
}

function openDatabaseIn({ dataDir: path, memory }: StorageOptions): Promise<StateBackend> {
  try {
    makeFolders(path)
    return openRocksDb(join(path, 'db'), memory.backend)
  } catch (error) {
    throw new WeirError('OUTPUT_UNWRITABLE', `cannot create the data directory ${path}: ${messageOf(error)}`, {
      cause: error,
    })
  }
}
