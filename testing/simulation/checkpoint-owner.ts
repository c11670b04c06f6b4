/**
 * The checkpoints of one slot object on a machine: the real checkpointer and the real spool, over a checkpoint store that fails.
 *
 * A seed decides everything: a checkpoint that is being made moves only while somebody waits for it (`advance`), from one of
 * its calls to the next.
 */
import { assert, type Clock, WeirError } from '../../kernel/index.js'
import type { LogTrimmer } from '../../log/index.js'
import { type CrashPoint, type SlotEvent, trimJournalBehind } from '../../runners/slot/index.js'
import {
  Catalogue,
  type CheckpointEvent,
  Checkpointer,
  type CheckpointPoint,
  DeltaSpool,
  type Manifest,
  type StateBackend,
} from '../../state/index.js'
import { type Hits, type Point, SimulatedCrash } from './chaos.js'
import type { CheckpointChaos, CheckpointConfig } from './checkpoint-chaos.js'
import type { Vault } from './checkpoint-vault.js'
import { Lane, never } from './lane.js'
import { app } from './topology.js'

export interface CheckpointSurroundings {
  readonly slot: number
  readonly config: CheckpointConfig
  readonly chaos: CheckpointChaos
  readonly vault: Vault
  readonly hits: Hits
  readonly clock: Clock
  readonly log: LogTrimmer
  readonly backend: StateBackend
  readonly spoolDirectory: string
  /** Takes one from the writes that find no room. @returns whether there was one */
  readonly findsDiskFull: () => boolean
  readonly isLive: () => boolean
  /** A manifest was published that names segments that are not there. */
  readonly onLacking: () => void
  /** Called while a restore reads: others go on. */
  readonly meanwhile: () => Promise<void>
  readonly onRetained: (kept: readonly Manifest[]) => Promise<void>
}

export class OwnerCheckpoints {
  readonly spool: DeltaSpool
  readonly catalogue: Catalogue
  readonly checkpointer: Checkpointer
  readonly backend: StateBackend
  /** Resolves with the crash that stops this process dead: none of its calls returns any more. */
  readonly died: Promise<SimulatedCrash>
  readonly #around: CheckpointSurroundings
  readonly #lane = new Lane()
  #die!: (crash: SimulatedCrash) => void
  #dead = false
  #ended = false
  /** Where in the journal lies what its store reflected when the process began; undefined: it was empty. */
  beganAt: number | undefined

  static async open(around: CheckpointSurroundings): Promise<OwnerCheckpoints> {
    const spool = await DeltaSpool.open({
      directory: around.spoolDirectory,
      bytesMax: around.config.spoolBytesMax,
      onDropped: () => around.hits.add('spool dropped'),
    })
    return new OwnerCheckpoints(around, spool)
  }

  private constructor(around: CheckpointSurroundings, spool: DeltaSpool) {
    const { slot, config, chaos, vault, hits, clock } = around
    this.#around = around
    this.spool = spool
    this.died = new Promise(resolve => {
      this.#die = resolve
    })
    this.backend = this.#mortal(around.backend)
    const reading = vault.open(async call => {
      await this.#live()
      if (call === 'get') await around.meanwhile()
      return chaos.storeFault()
    }, ofNobody)
    const writing = vault.open(
      async () => {
        await this.#lane.pass()
        await this.#live()
        return chaos.storeFault()
      },
      lacks => {
        if (lacks) {
          hits.add('manifest that lacks segments')
          around.onLacking()
        }
        if (around.isLive()) return 'of the owner'
        hits.add('checkpoint of a zombie')
        return 'of a zombie'
      },
    )
    this.catalogue = new Catalogue(reading, app, slot)
    this.checkpointer = new Checkpointer({
      store: writing,
      app,
      slot,
      backend: this.backend,
      spool,
      clock,
      everyMs: config.everyMs,
      keep: config.keep,
      limits: config.limits,
      onEvent: event => this.#count(event),
      onRetained: async kept => {
        if (chaos.fault(0.1)) {
          hits.add('journal not trimmed')
          throw new WeirError('KAFKA_UNAVAILABLE', 'injected: trim')
        }
        await trimJournalBehind(around.log, { app, slot }, kept)
        await around.onRetained(kept)
      },
      pauseAt: point => this.#pauseAt(point),
    })
  }

  get isHeld(): boolean {
    return this.#lane.isHeld && !this.#dead
  }

  get isDead(): boolean {
    return this.#dead
  }

  /** To its next call, or its end. */
  async advance(): Promise<void> {
    await Promise.race([this.#lane.letOn(), this.checkpointer.idle(), this.died])
  }

  /** For `crashAt` of the slot. @throws SimulatedCrash */
  crashAt(point: CrashPoint): void {
    if (this.#around.chaos.crashesAt(point)) throw this.kill(point)
  }

  onSlotEvent(event: SlotEvent): void {
    const { hits } = this.#around
    if (event.kind === 'restored')
      hits.add(this.beganAt === undefined ? 'restored to an empty disk' : 'restored over a store')
    if (event.kind === 'checkpoint-unusable' && event.name !== '') hits.add('checkpoint unusable')
  }

  /** A process that ends by itself gives up what it makes; what was killed has no time for that. */
  async end(how: 'closed' | 'killed'): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    if (how === 'killed') this.kill('told')
    else {
      this.#lane.open = true
      this.#lane.letOn()
      await Promise.race([this.checkpointer.close(), this.died])
    }
    await this.spool.close()
  }

  /** None of its calls returns any more. */
  kill(point: Point): SimulatedCrash {
    this.#dead = true
    const crash = new SimulatedCrash(point)
    this.#die(crash)
    return crash
  }

  async #pauseAt(point: CheckpointPoint): Promise<void> {
    await this.#lane.pass()
    if (this.#around.chaos.crashesAt(point)) this.kill(point)
    await this.#live()
  }

  #live(): Promise<void> | undefined {
    return this.#dead ? never() : undefined
  }

  #count(event: CheckpointEvent): void {
    const { hits } = this.#around
    if (event.kind === 'checkpoint') hits.add(`checkpoint ${event.how}`)
    else if (event.kind === 'checkpoint-failed') hits.add('checkpoint failed')
    else if (event.kind === 'checkpoints-removed') hits.add('checkpoints removed')
    else hits.add('checkpoint unusable')
  }

  /** The state on the disk, as a process has it that may be killed, and whose disk may be full. */
  #mortal(inner: StateBackend): StateBackend {
    return {
      getMany: async keys => {
        await this.#live()
        return await inner.getMany(keys)
      },
      range: async options => {
        await this.#live()
        return await inner.range(options)
      },
      snapshot: async range => {
        await this.#live()
        return await inner.snapshot(range)
      },
      batch: () => inner.batch(),
      write: async (batch, options) => {
        await this.#live()
        if (this.#around.findsDiskFull()) throw new WeirError('BACKEND_FAILED', 'injected: no space left')
        await inner.write(batch, options)
      },
      close: () => inner.close(),
    }
  }
}

/** A restore publishes nothing. */
const ofNobody = (): never => assert(false, 'a restore publishes nothing') as never
