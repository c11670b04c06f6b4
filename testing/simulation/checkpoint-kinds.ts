/** What only worlds with checkpoints meet; `main` asserts each. */
import type { CrashPoint } from '../../runners/slot/index.js'
import type { CheckpointPoint } from '../../state/index.js'

export const checkpointPoints: readonly CheckpointPoint[] = [
  'taken',
  'segments-written',
  'published',
  'spool-released',
  'retained',
  'told',
]

export const restorePoints: readonly CrashPoint[] = ['store-emptied', 'restored']

export const checkpointKinds = [
  'checkpoint full',
  'checkpoint incremental',
  'checkpoint failed',
  'checkpoints removed',
  'checkpoint of a zombie',
  'manifest that lacks segments',
  'checkpoint unusable',
  'store call lost',
  'store call unheard',
  'store outage',
  'object lost',
  'object cut short',
  'object corrupt',
  'retention while another restores',
  'journal not trimmed',
  'spool dropped',
  'spool torn',
  'spool unwritable',
  'disk full',
  'disk lost',
  'restored to an empty disk',
  'restored over a store',
  'start without checkpoint store',
  'refused: no checkpoint is whole',
  'refused: journal lost',
] as const

export type CheckpointKind = (typeof checkpointKinds)[number]
