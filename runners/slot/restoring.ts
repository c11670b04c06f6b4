/**
 * Before a recovery looks at the store: fills it from a checkpoint where that is nearer to the journal's end, or where the store
 * is lost.
 *
 * Invariants kept here: I2, only a checkpoint of which the journal has the very epoch is taken; and a store that is not empty
 * is emptied only after all bytes of the checkpoint have been found whole.
 */
import { isWeirError, messageOf } from '../../kernel/index.js'
import { type Offset, offset, type TopicPartition } from '../../log/index.js'
import { bytesOf, type Manifest, restore, type StatePosition, takeNewest, verify } from '../../state/index.js'
import { epochOf, type JournalRecord, journalTopicOf, type PartitionOffset, planOf } from './journal.js'
import { type Link, lastLink, linkAt } from './journal-reader.js'
import { nearer, type StartingPoint, whyUnusable } from './nearer.js'
import type { SlotCheckpoints, SlotOptions } from './options.js'
import { Progress } from './progress.js'
import { partitionKey } from './running.js'

/** A store that this process has written itself is one write-back behind: no checkpoint is nearer, and none is asked for. */
export type RecoversFrom = 'anywhere' | 'its own run'

/**
 * @throws WeirError CHECKPOINT_STORE_FAILED, CHECKPOINT_KEY where the store cannot be gone on from, so that a checkpoint may be needed; as the log
 * and the backend do
 */
export async function restoreNearer(options: SlotOptions, from: RecoversFrom): Promise<void> {
  const { checkpoints } = options
  if (checkpoints === undefined) return
  const journal = { topic: journalTopicOf(options.plan.app), partition: options.slot }
  const last = await lastLink(options.log, journal)
  // A new job; or one of which only a person can say what to do.
  if (last === undefined) return
  const judge = new Judge(options, journal, last)
  const store = await judge.store()
  if (store === 'unknown' || (store !== undefined && from === 'its own run')) return
  try {
    await restoreFirstOf(options, checkpoints, judge, store)
  } catch (error) {
    // Without a store to go on with: there was none, or it has been emptied for the checkpoint.
    const mayGoOn = store !== undefined && options.store.reflects !== undefined
    const isOfStore = isWeirError(error, 'CHECKPOINT_STORE_FAILED') || isWeirError(error, 'CHECKPOINT_KEY')
    if (!mayGoOn || !isOfStore) throw error
    options.onEvent?.({ kind: 'checkpoint-unusable', name: '', message: messageOf(error) })
  }
}

async function restoreFirstOf(
  options: SlotOptions,
  checkpoints: SlotCheckpoints,
  judge: Judge,
  local: StartingPoint | undefined,
): Promise<void> {
  const { catalogue } = checkpoints
  await takeNewest(catalogue, {
    judge: async manifest => {
      const judged = await judge.checkpoint(manifest)
      if (typeof judged === 'string') return { because: judged }
      return nearer(local, judged) === 'store' ? 'stop' : 'take'
    },
    take: async manifest => {
      if (options.store.reflects !== undefined) await verify(catalogue, manifest)
      await replaceStore(options, checkpoints, manifest)
    },
    onUnusable: (name, message) => options.onEvent?.({ kind: 'checkpoint-unusable', name, message }),
  })
}

async function replaceStore(
  { store, clock, onEvent, crashAt }: SlotOptions,
  { catalogue, backend, namespace }: SlotCheckpoints,
  manifest: Manifest,
): Promise<void> {
  const { epoch } = manifest
  await store.reset()
  crashAt?.('store-emptied')
  const progress = new Progress(clock)
  let tenths = 0
  try {
    await restore(catalogue, manifest, {
      backend,
      ...(namespace && { namespace }),
      onProgress: (bytes, ofBytes) => {
        if (Math.floor((10 * bytes) / ofBytes) === tenths) return
        tenths = Math.floor((10 * bytes) / ofBytes)
        onEvent?.({ kind: 'restoring', epoch, bytes, ofBytes, leftMs: progress.leftMs(bytes, ofBytes) })
      },
    })
    crashAt?.('restored')
  } finally {
    // Takes up what was restored; removes what was half restored.
    await store.discard()
  }
  onEvent?.({ kind: 'restored', epoch, bytes: bytesOf(manifest.segments), ms: progress.ms })
}

/** Of all inputs after the record, where it says them. */
const positionsOf = (record: JournalRecord): readonly PartitionOffset[] =>
  record.kind === 'epoch' && record.v !== 1 ? record.positions : []

/** Holds states against the journal and the inputs. */
class Judge {
  readonly #options: SlotOptions
  readonly #journal: TopicPartition
  readonly #last: Link
  readonly #earliest = new Map<string, Offset>()

  constructor(options: SlotOptions, journal: TopicPartition, last: Link) {
    this.#options = options
    this.#journal = journal
    this.#last = last
  }

  /** 'unknown': of an older format, which does not say; it is left to the recovery. */
  async store(): Promise<StartingPoint | undefined | 'unknown'> {
    const state = this.#options.store.reflects
    if (state === undefined) return undefined
    if (state.resume === undefined) return 'unknown'
    const link = await linkAt(this.#options.log, this.#journal, offset(state.resume.offset))
    if (this.#why('the store', state, link) !== undefined) return undefined
    if (link?.record.kind === 'epoch' && link.record.v === 1) return 'unknown'
    const inputs = link === undefined ? [] : positionsOf(link.record)
    if ((await this.#lost(inputs)) !== undefined) return undefined
    return { recordsToFold: this.#recordsFrom(inputs), bytesToRestore: 0 }
  }

  /** A text says why it is of no use. */
  async checkpoint(manifest: Manifest): Promise<StartingPoint | string> {
    const { epoch, journal_hash: journalHash, fingerprint, resume, inputs, segments, key_groups } = manifest
    if (resume === null) return 'it does not say where the journal goes on'
    const { genesis } = this.#options
    if (genesis !== null && genesis.key_groups !== key_groups) return `it has ${key_groups} key groups`
    const link = await linkAt(this.#options.log, this.#journal, offset(resume.offset))
    const why = this.#why('the checkpoint', { epoch, journalHash, fingerprint }, link) ?? (await this.#lost(inputs))
    if (why !== undefined) return why
    return { recordsToFold: this.#recordsFrom(inputs), bytesToRestore: bytesOf(segments) }
  }

  #why(what: string, state: StatePosition, link: Link | undefined): string | undefined {
    const journaled = { lastEpoch: epochOf(this.#last.record), hash: link?.hash, plan: link && planOf(link.record) }
    const { plan, planNumber = 1 } = this.#options
    return whyUnusable(what, state, journaled, { fingerprint: plan.fingerprint, plan: planNumber })
  }

  /** What would have to be read and is gone. */
  async #lost(inputs: readonly PartitionOffset[]): Promise<string | undefined> {
    for (const at of inputs) {
      const key = partitionKey(at)
      const earliest = this.#earliest.get(key) ?? (await this.#options.log.range(at)).earliest
      this.#earliest.set(key, earliest)
      if (BigInt(at.offset) < earliest) return `${key} begins at ${earliest}, and it goes on from ${at.offset}`
    }
    return undefined
  }

  #recordsFrom(inputs: readonly PartitionOffset[]): number {
    const from = new Map(inputs.map(at => [partitionKey(at), Number(at.offset)]))
    return positionsOf(this.#last.record).reduce(
      (sum, at) => sum + Number(at.offset) - (from.get(partitionKey(at)) ?? 0),
      0,
    )
  }
}
