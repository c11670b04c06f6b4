/**
 * The checkpoints of one simulated slot: of all its machines, and what goes wrong with them from turn to turn.
 *
 * What is checked as it runs: retention and trimming leave as many checkpoints to go on from as they should; a slot refuses to
 * start only where none is left, or where the journal is lost.
 */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isWeirError, type WeirError } from '../../kernel/index.js'
import { offset } from '../../log/index.js'
import { type MemoryDisk, MemoryLog } from '../../log/memory/index.js'
import { journalTopicOf } from '../../runners/slot/index.js'
import { type Catalogue, type Manifest, type StateBackend, MemoryDisk as StateDisk } from '../../state/index.js'
import type { ManualClock } from '../driver/index.js'
import type { Hits } from './chaos.js'
import { CheckpointChaos, type CheckpointConfig } from './checkpoint-chaos.js'
import { OwnerCheckpoints } from './checkpoint-owner.js'
import { Vault } from './checkpoint-vault.js'
import { Difference } from './difference.js'
import type { BeforeCall } from './faulty-store.js'
import { isReachable } from './history.js'
import type { Machine, Outcome, Owner } from './owner.js'
import type { Random } from './random.js'
import { app, topics } from './topology.js'

/** An owner, or who follows one. */
type Process = Pick<Owner, 'machine' | 'checkpoints'>

export interface CheckpointParts {
  readonly slot: number
  /** Inputs live for as long as a checkpoint that is kept needs them; else for ever. */
  readonly trimsInputs: boolean
  readonly config: CheckpointConfig
  readonly disk: MemoryDisk
  readonly clock: ManualClock
  readonly hits: Hits
  readonly random: Random
  /** For spools; this slot's alone. */
  readonly directory: string
}

export class FleetCheckpoints {
  readonly #parts: CheckpointParts
  readonly #random: Random
  readonly #vault: Vault
  readonly #chaos: CheckpointChaos
  readonly #journal: { readonly topic: string; readonly partition: number }
  /** Writes of a machine that will find no room. */
  readonly #full = new Map<Machine, number>()
  /** By machine: which of its directories is in use, for a lost disk takes it along. */
  readonly #directories = new Map<Machine, number>()
  /** Where a file stands in the place of its spool, for one process. */
  readonly #unwritable = new Set<Machine>()
  readonly #differences: Difference[] = []
  #isCalm = false

  constructor(parts: CheckpointParts) {
    this.#parts = parts
    this.#random = parts.random.fork('turns')
    this.#vault = new Vault(parts.slot, parts.disk)
    this.#chaos = new CheckpointChaos(parts.random.fork('chaos'), parts.hits)
    this.#journal = { topic: journalTopicOf(app), partition: parts.slot }
  }

  /** For one slot object. @param others of the same slot that live now */
  async open(
    machine: Machine,
    backend: StateBackend,
    { isLive, others }: { readonly isLive: () => boolean; readonly others: () => readonly Owner[] },
  ): Promise<OwnerCheckpoints> {
    const { slot, trimsInputs, config, disk, clock, hits } = this.#parts
    return await OwnerCheckpoints.open({
      slot,
      config,
      chaos: this.#chaos,
      vault: this.#vault,
      hits,
      clock,
      log: new MemoryLog(disk),
      backend,
      spoolDirectory: this.#directoryOf(machine),
      findsDiskFull: () => {
        const left = this.#full.get(machine) ?? 0
        if (left > 0) this.#full.set(machine, left - 1)
        return left > 0
      },
      isLive,
      onLacking: () => {
        this.#check(() => {
          if (isLive() && !this.#vault.everDamaged)
            throw new Difference('the owner published a checkpoint that lacks segments')
        })
      },
      meanwhile: async () => {
        if (this.#isCalm || !this.#random.chance(0.5)) return
        for (const other of others()) await this.#advance(other, true)
      },
      onRetained: async kept => {
        if (trimsInputs) await this.#trimInputs(kept)
        this.#check(() => this.#vault.checkKept(config.keep.countMin))
      },
    })
  }

  #directoryOf(machine: Machine): string {
    const use = this.#directories.get(machine) ?? 0
    return join(this.#parts.directory, `machine-${machine.number}-${use}`)
  }

  #check(work: () => void): void {
    try {
      work()
    } catch (error) {
      // Whoever makes checkpoints survives what its listeners throw.
      if (!(error instanceof Difference)) throw error
      this.#differences.push(error)
    }
  }

  /** Something goes wrong, and checkpoints that are being made go on. @throws Difference */
  async turn(processes: readonly Process[], live: object | undefined): Promise<void> {
    const { config, hits } = this.#parts
    const chaos = this.#chaos
    if (chaos.fault(0.01)) chaos.beginOutage()
    if (chaos.fault(0.03)) {
      for (let objects = this.#random.between(1, 3); objects > 0; objects--) this.#vault.damage(this.#random, hits)
    }
    for (const { machine } of processes) {
      if (chaos.fault(0.01)) {
        hits.add('disk full')
        this.#full.set(machine, this.#random.between(1, 12))
      }
    }
    for (const process of processes) {
      // A zombie hangs: the owner overtakes it.
      const slower = live !== undefined && process.machine !== live ? 0.1 : 1
      if (this.#random.chance(config.advanceChance * slower)) await this.#advance(process, false)
    }
    const [difference] = this.#differences
    if (difference !== undefined) throw difference
  }

  /** Whoever was fenced finds out late, so that it makes checkpoints beside the new owner, and finds the log trimmed. */
  insteadOf(picked: Owner, live: Owner | undefined): Owner {
    const isZombie = !this.#isCalm && live !== undefined && live !== picked && live.suspended === undefined
    return isZombie && this.#random.chance(0.85) ? live : picked
  }

  async #advance({ checkpoints }: Process, duringRestore: boolean): Promise<void> {
    const { hits, config } = this.#parts
    const removed = hits.of('checkpoints removed')
    for (
      let calls = this.#random.between(1, duringRestore ? 20 : config.advanceMax);
      calls > 0 && checkpoints?.isHeld;
      calls--
    ) {
      await checkpoints.advance()
    }
    if (duringRestore && hits.of('checkpoints removed') > removed) hits.add('retention while another restores')
  }

  /** Of all manifests that nobody removed. */
  get names(): readonly string[] {
    return this.#vault.names()
  }

  /** For who only restores. */
  reading(before: BeforeCall): Catalogue {
    return this.#vault.reading(before)
  }

  async calmDown(): Promise<void> {
    this.#isCalm = true
    this.#chaos.calmDown()
    this.#full.clear()
    this.#vault.heal()
  }

  /** Everything that lay on it. */
  async loseDisk(machine: Machine): Promise<void> {
    machine.disk = new StateDisk()
    await rm(this.#directoryOf(machine), { recursive: true, force: true })
    this.#unwritable.delete(machine)
    this.#directories.set(machine, (this.#directories.get(machine) ?? 0) + 1)
    this.#parts.hits.add('disk lost')
  }

  /** The process is gone: what it had not synced of its spool may be torn, or the place for it is taken. */
  async afterEnd(machine: Machine, how: 'closed' | 'killed'): Promise<void> {
    const directory = this.#directoryOf(machine)
    if (this.#unwritable.delete(machine)) await rm(directory, { recursive: true, force: true })
    if (this.#isCalm) return
    if (how === 'killed' && this.#random.chance(0.3)) await this.#tear(directory)
    if (!this.#chaos.fault(0.01)) return
    this.#parts.hits.add('spool unwritable')
    await rm(directory, { recursive: true, force: true })
    await writeFile(directory, '')
    this.#unwritable.add(machine)
  }

  async #tear(directory: string): Promise<void> {
    const random = this.#random
    const names = await readdir(directory).catch(() => [])
    if (names.length === 0) return
    const path = join(directory, random.pick(names.sort()))
    const bytes = await readFile(path)
    if (bytes.length === 0) return
    if (random.chance(0.5)) await writeFile(path, bytes.subarray(0, random.below(bytes.length)))
    else {
      bytes[random.below(bytes.length)]! ^= 1 << random.below(8)
      await writeFile(path, bytes)
    }
    this.#parts.hits.add('spool torn')
  }

  /**
   * A slot says that what is left of the log and the checkpoints is not enough.
   * @throws Difference when it is
   */
  async onRefused(error: WeirError, { checkpoints }: Pick<Process, 'checkpoints'>, plan: number): Promise<void> {
    const { disk, slot } = this.#parts
    const beganAt = checkpoints?.beganAt
    if (beganAt !== undefined && (await isReachable(disk, { slot, plan }, beganAt)))
      throw new Difference(`${error.message}; but its own state lay inside the log`)
    const usable = this.#vault.usable(plan)
    if (usable.length > 0) {
      const epochs = usable.map(({ epoch }) => epoch).join(', ')
      throw new Difference(`${error.message}; but there are whole checkpoints of the epochs ${epochs}`)
    }
    this.#parts.hits.add('refused: no checkpoint is whole')
    this.#vault.heal()
    if (this.#vault.usable(plan).length === 0) throw new Difference(`${error.message}, and nothing was damaged`)
  }

  async #trimInputs(kept: readonly Manifest[]): Promise<void> {
    const { disk, hits } = this.#parts
    const log = new MemoryLog(disk)
    for (const at of kept[0]?.inputs ?? []) {
      const needed = kept.map(({ inputs }) => {
        const { offset: from = '0' } =
          inputs.find(input => input.topic === at.topic && input.partition === at.partition) ?? {}
        return Number(from)
      })
      const { earliest } = await log.range(at)
      const bound = Math.max(Number(earliest), Math.min(...needed))
      await log.trim({
        ...at,
        offset: offset(this.#random.chance(0.5) ? bound : this.#random.between(Number(earliest), bound)),
      })
    }
    hits.add('log trimmed')
  }

  /**
   * Somebody deletes the journal, or its records; a slot that starts then must refuse.
   * @param slots of the plan that runs
   * @param start of a machine that is not busy
   */
  async perhapsLoseJournal(slots: number, start: () => Promise<Outcome>): Promise<void> {
    const partition = this.#parts.disk.topics.partition(this.#journal)
    if (partition.entries.length < 2 || !this.#hasDecided(slots) || !this.#chaos.fault(0.05)) return
    const { earliest, latest } = partition
    const entries = partition.entries.splice(0)
    const end = this.#random.chance(0.5) ? 0 : latest
    Object.assign(partition, { earliest: end, latest: end })
    const outcome = await start()
    if (outcome.kind === 'done') throw new Difference('a slot began anew after its journal was lost')
    if (isWeirError(outcome.error, 'JOURNAL_WITHOUT_GENESIS')) this.#parts.hits.add('refused: journal lost')
    if (partition.entries.length > 0) throw new Difference('a slot wrote to a journal that was lost')
    partition.entries.push(...entries)
    Object.assign(partition, { earliest, latest })
  }

  #hasDecided(slots: number): boolean {
    const { disk, slot } = this.#parts
    const decisions = disk.topics.partitions(topics.decisions)
    return decisions.some(({ partition, latest }) => partition % slots === slot && latest > 0)
  }
}
