/** What is told of a slot's checkpoints, gathered from what it says of them; outlives the slot's new beginnings. */
import type { CheckpointEvent } from '../../state/index.js'
import type { SlotEvent } from '../slot/index.js'

/** Times in ms, by the worker's clock; sizes in bytes as they are stored. */
export interface CheckpointStatus {
  /** Of the newest one: when its state was taken, also by an owner of before. */
  readonly newestAtMs: number | undefined
  readonly newestEpoch: number | undefined
  /** Of the last one made here. */
  readonly lastMs: number | undefined
  readonly lastBytesWritten: number | undefined
  readonly lastBytesTotal: number | undefined
  readonly made: { readonly full: number; readonly incremental: number }
  readonly failed: number
  readonly spoolBytes: number
  /** By restores here since the process began. */
  readonly restored: number
  readonly restoredBytes: number
  readonly restoredMs: number
}

export class CheckpointFigures {
  #figures: Omit<CheckpointStatus, 'spoolBytes'> = {
    newestAtMs: undefined,
    newestEpoch: undefined,
    lastMs: undefined,
    lastBytesWritten: undefined,
    lastBytesTotal: undefined,
    made: { full: 0, incremental: 0 },
    failed: 0,
    restored: 0,
    restoredBytes: 0,
    restoredMs: 0,
  }

  /** @param nowMs when it is told */
  note(event: CheckpointEvent | SlotEvent, nowMs: number): void {
    const figures = this.#figures
    switch (event.kind) {
      case 'checkpoint':
        this.#figures = {
          ...figures,
          newestAtMs: nowMs - event.ms,
          newestEpoch: event.epoch,
          lastMs: event.ms,
          lastBytesWritten: event.bytesWritten,
          lastBytesTotal: event.bytesTotal,
          made: { ...figures.made, [event.how]: figures.made[event.how] + 1 },
        }
        return
      case 'checkpoint-found':
        this.#figures = { ...figures, newestAtMs: event.atMs, newestEpoch: event.epoch }
        return
      case 'checkpoint-failed':
        this.#figures = { ...figures, failed: figures.failed + 1 }
        return
      case 'restored':
        this.#figures = {
          ...figures,
          restored: figures.restored + 1,
          restoredBytes: figures.restoredBytes + event.bytes,
          restoredMs: figures.restoredMs + event.ms,
        }
    }
  }

  status(spoolBytes: number): CheckpointStatus {
    return { ...this.#figures, spoolBytes }
  }
}
