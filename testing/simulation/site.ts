/** Where a slot runs, whatever the plan: its machines, with what every plan left on their disks, and its checkpoints. */
import { MemoryDisk as StateDisk } from '../../state/index.js'
import type { FleetCheckpoints } from './checkpoint-fleet.js'
import type { Machine } from './owner.js'

export class Site {
  readonly slot: number
  /** Undefined: nobody makes any. */
  readonly checkpoints: FleetCheckpoints | undefined
  readonly #machines: Machine[] = []
  #made = 0

  constructor(slot: number, checkpoints: FleetCheckpoints | undefined) {
    this.slot = slot
    this.checkpoints = checkpoints
  }

  /** A new one, which no other plan will use. */
  machine(): Machine {
    return { number: this.#made++, disk: new StateDisk(), busy: false }
  }

  /** So many that nothing runs on; new ones only where others are busy. */
  free(count: number): Machine[] {
    const free = this.#machines.filter(({ busy }) => !busy)
    while (free.length < count) {
      const machine = this.machine()
      this.#machines.push(machine)
      free.push(machine)
    }
    return free.slice(0, count)
  }
}
