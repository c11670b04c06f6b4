/** What Prometheus is told of a worker. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Clock } from '../../kernel/index.js'
import type { StandbyLag } from '../slot/index.js'
import type { CheckpointStatus } from './checkpoint-figures.js'
import type { InputStatus, SlotStatus } from './messages.js'
import type { SlotWorker } from './worker.js'

type Labelled = readonly [labels: Record<string, string | number>, value: number]

/** Of those that the journal has; `rekeyed`: came to another partition than its key's. */
const countsTold = [
  'records',
  'decisions',
  'duplicates',
  'conflicts',
  'dead_letters',
  'late',
  'rekeyed',
  'scoring_failed',
]

export function metricsOf(worker: Pick<SlotWorker, 'status'>, clock: Clock): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  /** A count, by its name, else a gauge. */
  const metric = (
    name: string,
    help: string,
    labelNames: readonly string[],
    collect: () => readonly Labelled[],
  ): void => {
    ;new (name.endsWith('_total') ? Counter : Gauge)({
      name,
      help,
      labelNames: [...labelNames],
      registers: [registry],
      collect() {
        this.reset()
        for (const [labels, value] of collect()) this.inc(labels, value)
      },
    })
  }
  const perStatus = (
    name: string,
    help: string,
    among: (status: SlotStatus) => boolean,
    of: (status: SlotStatus) => number,
  ): void =>
    metric(name, help, ['slot'], () =>
      worker.status.filter(among).map(status => [{ slot: status.slot }, of(status)] as const),
    )
  const perSlot = (name: string, help: string, of: (status: SlotStatus) => number): void =>
    perStatus(name, help, ({ behind }) => behind === undefined, of)
  const perStandby = (name: string, help: string, of: (behind: StandbyLag) => number): void =>
    perStatus(
      name,
      help,
      ({ behind }) => behind !== undefined,
      ({ behind }) => of(behind!),
    )
  perSlot('weir_slot_running', '1 while the slot runs', ({ state }) => (state === 'running' ? 1 : 0))
  perSlot('weir_slot_epoch', 'Last committed epoch', ({ epoch }) => epoch)
  for (const count of countsTold) {
    perSlot(`weir_slot_${count}_total`, `${count} since the journal began`, ({ counts }) => counts[count] ?? 0)
  }
  const behind = 'Epochs of a followed slot that have been read and not been folded'
  perStandby('weir_standby_behind_epochs', behind, ({ epochs }) => epochs)
  const age = 'Age of the last epoch that a standby has folded, beyond what the owner promises, in seconds'
  perStandby('weir_standby_behind_seconds', age, ({ ms }) => ms / 1_000)
  const perInput = (name: string, help: string, of: (input: InputStatus) => number): void =>
    metric(name, help, ['topic', 'partition'], () =>
      worker.status.flatMap(({ inputs }) =>
        inputs.map(input => [{ topic: input.topic, partition: input.partition }, of(input)] as const),
      ),
    )
  perInput('weir_input_lag_records', 'Records not read yet', ({ behind }) => behind)
  perInput(
    'weir_input_undecided_records',
    'Records behind open transactions of producers',
    ({ undecided }) => undecided,
  )

  /** Absent for a slot of which it is not known. */
  const perCheckpoints = (name: string, help: string, of: (status: CheckpointStatus) => number | undefined): void =>
    metric(name, help, ['slot'], () =>
      worker.status.flatMap(({ slot, checkpoints }) => {
        const value = checkpoints && of(checkpoints)
        return value === undefined ? [] : [[{ slot }, value] as const]
      }),
    )
  const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1_000)
  perCheckpoints('weir_checkpoint_age_seconds', 'Since the state of the newest checkpoint', ({ newestAtMs }) =>
    newestAtMs === undefined ? undefined : Math.max(0, clock.nowMs() - newestAtMs) / 1_000,
  )
  perCheckpoints('weir_checkpoint_epoch', 'Epoch of the newest checkpoint', ({ newestEpoch }) => newestEpoch)
  perCheckpoints('weir_checkpoint_seconds', 'What the last one took', ({ lastMs }) => seconds(lastMs))
  perCheckpoints(
    'weir_checkpoint_written_bytes',
    'Written for the last one',
    ({ lastBytesWritten }) => lastBytesWritten,
  )
  perCheckpoints(
    'weir_checkpoint_restore_bytes',
    'Read by a restore of the last one',
    ({ lastBytesTotal }) => lastBytesTotal,
  )
  perCheckpoints(
    'weir_checkpoint_failures_total',
    'Checkpoints that failed, since the slot came here',
    ({ failed }) => failed,
  )
  perCheckpoints('weir_checkpoint_spool_bytes', 'Changes on the disk for the next one', ({ spoolBytes }) => spoolBytes)
  perCheckpoints(
    'weir_restores_total',
    'Restores from checkpoints, since the slot came here',
    ({ restored }) => restored,
  )
  perCheckpoints('weir_restored_bytes_total', 'Read by them', ({ restoredBytes }) => restoredBytes)
  perCheckpoints('weir_restore_seconds_total', 'What they took', ({ restoredMs }) => seconds(restoredMs))
  metric('weir_checkpoints_made_total', 'Checkpoints made, since the slot came here', ['slot', 'how'], () =>
    worker.status.flatMap(({ slot, checkpoints }) =>
      (['full', 'incremental'] as const).flatMap(how =>
        checkpoints === undefined ? [] : [[{ slot, how }, checkpoints.made[how]] as const],
      ),
    ),
  )
  return registry
}
