/** What a slot tells, in the words of the log: the same in every verb that runs slots. */
import type { Logger } from '../../edge/index.js'
import { assertNever } from '../../kernel/index.js'
import type { CheckpointEvent } from '../../state/index.js'
import type { SlotEvent } from '../slot/index.js'
import type { RegistryEvent } from '../worker/index.js'

/** Places and codes, never what a step said: its text may name a customer. */
export function logSlotEvent(
  logger: Logger,
  event: Exclude<SlotEvent, { readonly kind: 'recovering' }> | RegistryEvent,
): void {
  switch (event.kind) {
    case 'registry':
      if (event.answers) logger.info('the schema registry answers again')
      else logger.warn('the schema registry does not answer; records wait for it')
      return
    case 'state-damaged':
      logger.warn('the state on this disk is damaged; it is built again from a checkpoint or the journal')
      return
    case 'replayed':
      logger.info({ epochs: event.epochs, records: event.records }, 'state is up to date again')
      return
    case 'excluded':
      logger.error({ position: event.position, step: event.step }, 'a step threw on a record; it is a dead letter')
      return
    case 'model-failed':
      logger.error({ rows: event.rows, epoch: event.epoch }, 'the model failed; decisions go out degraded')
      return
    case 'held-back':
      logger.warn({ rows: event.rows }, 'too many rows are under way through other slots; new records wait')
      return
    case 'restoring':
      logger.info(
        { epoch: event.epoch, bytes: event.bytes, of_bytes: event.ofBytes, seconds_left: secondsOf(event.leftMs) },
        'restoring state from a checkpoint',
      )
      return
    case 'restored':
      logger.info(
        { epoch: event.epoch, bytes: event.bytes, seconds: secondsOf(event.ms) },
        'state restored from a checkpoint',
      )
      return
    case 'replaying':
      logger.info(
        { epochs: event.epochs, of_epochs: event.ofEpochs, seconds_left: secondsOf(event.leftMs) },
        'folding what the state does not reflect yet',
      )
      return
    case 'checkpoint-unusable':
      logger.warn(
        { checkpoint: event.name, reason: event.message },
        'a checkpoint cannot be used; an older one is tried',
      )
      return
    default:
      assertNever(event)
  }
}

const secondsOf = (ms: number): number => Math.round(ms / 100) / 10

export function logCheckpointEvent(
  logger: Logger,
  event: Exclude<CheckpointEvent, { readonly kind: 'checkpoint-unusable' }>,
): void {
  switch (event.kind) {
    case 'checkpoint': {
      const { kind, ...figures } = event
      logger.info(figures, 'checkpoint')
      return
    }
    case 'checkpoint-found':
      logger.debug({ epoch: event.epoch }, 'the newest checkpoint that there is')
      return
    case 'checkpoint-failed':
      logger.warn(
        { epoch: event.epoch, reason: event.message },
        'a checkpoint failed; the next is tried when it is due',
      )
      return
    case 'checkpoints-removed':
      logger.debug({ count: event.count }, 'old checkpoints removed')
      return
    default:
      assertNever(event)
  }
}
