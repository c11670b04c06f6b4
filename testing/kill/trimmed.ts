/** Looks into the data directory of a Weir that was stopped. */
import { join } from 'node:path'
import { EmbeddedLog } from '../../log/embedded/index.js'
import { openRocksDb } from '../../state/index.js'

/** The earliest offset that a topic of one partition has. */
export async function trimmedTo(dataDir: string, topic: string): Promise<number> {
  const backend = await openRocksDb(join(dataDir, 'db'))
  try {
    const log = await EmbeddedLog.open({ db: backend })
    const { earliest } = await log.range({ topic, partition: 0 })
    await log.close()
    return Number(earliest)
  } finally {
    await backend.close()
  }
}
