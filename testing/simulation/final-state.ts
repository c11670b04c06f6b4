/** What a store comes to, so that two of them can be compared. */
import { days, defined, millis } from '../../kernel/index.js'
import { journalTopicOf, ownedPartitions } from '../../runners/slot/index.js'
import type { MemoryDisk as StateDisk } from '../../state/index.js'
import { expiryClockOf } from './history.js'
import { type Machine, type Owner, openOwner, type Surroundings } from './owner.js'
import { app } from './topology.js'

/** What a slot without heartbeats comes to, which adds no epoch. */
export async function closedOn(machine: Machine, around: Surroundings): Promise<StateDisk> {
  const { shared } = around
  const limits = { ...shared.config.limits, heartbeatMs: millis(Number.POSITIVE_INFINITY) }
  const owner = await openOwner(machine, { ...around, shared: { ...shared, config: { ...shared.config, limits } } })
  await owner.slot.start()
  await owner.slot.close()
  await sweep(owner, around)
  return machine.disk
}

/** What has expired goes sooner or later, and by whole days; here at once, at the end of the clock's day. */
export async function sweep(
  { store, checkpoints }: Pick<Owner, 'store' | 'checkpoints'>,
  around: Surroundings,
): Promise<void> {
  const { disk } = around.shared
  untrim(around)
  store.setExpiryClock((Math.floor((await expiryClockOf(disk, around.slot)) / days(1)) + 1) * days(1))
  await store.sweep(Number.MAX_SAFE_INTEGER)
  await store.write(store.serialise(), defined(store.reflects, 'position of a closed slot'), { sync: true })
  await checkpoints?.end('closed')
  await store.close()
  untrim(around)
}

/** Who checks wants to see everything that there ever was. */
function untrim({ slot, shared: { disk, plan } }: Surroundings): void {
  disk.untrim(journalTopicOf(app))
  for (const { topic } of ownedPartitions(plan, slot, of => disk.topics.partitions(of).length)) disk.untrim(topic)
}
