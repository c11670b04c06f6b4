/**
 * The data directory: writable, free, with space, and not from the future. Looking changes nothing that was there; the
 * database is opened only when nobody has it.
 */
import { constants } from 'node:fs'
import { access, mkdtemp, rmdir, stat, statfs } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { isWeirError, millis } from '../../kernel/index.js'
import { EmbeddedLog } from '../../log/embedded/index.js'
import { type Log, offset } from '../../log/index.js'
import { openRocksDb } from '../../state/index.js'
import { fail, ok, type Verdict, warn } from './check.js'

const freeBytesLow = 2 ** 31
const freeBytesMin = 2 ** 28
/** Clocks of one machine agree; a log that was carried here may be a little ahead. */
const aheadMsMax = 60_000

export async function checkWritable(dataDir: string): Promise<Verdict> {
  const existing = await nearestExisting(dataDir)
  if (!(await stat(existing)).isDirectory()) {
    return fail(`${existing} is not a directory`, 'choose another --data-dir (WEIR_DATA_DIR)')
  }
  try {
    await access(existing, constants.W_OK | constants.X_OK)
    // a directory on a medium that is mounted read-only, or full of inodes, has the permission and refuses all the same
    await rmdir(await mkdtemp(join(existing, '.weir-doctor-')))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return fail(`${existing} cannot be written (${code})`, 'mend its permissions or choose another --data-dir')
  }
  return ok(existing === resolve(dataDir) ? `${dataDir} is writable` : `${dataDir} will be created`)
}

export async function checkSpace(dataDir: string): Promise<Verdict> {
  const { bavail, bsize } = await statfs(await nearestExisting(dataDir))
  const free = bavail * bsize
  const what = `${(free / 2 ** 30).toFixed(1)} GiB free`
  if (free < freeBytesMin) return fail(what, 'free some space: Weir stops when the disk is full')
  return free < freeBytesLow ? warn(what, 'free some space before long') : ok(what)
}

/** Who has the directory, and by when its log was written. */
export interface DataDirFacts {
  readonly owner: 'nobody' | 'another process'
  /** Ms since the epoch; undefined when there is no log, or none that says so. */
  readonly newestMs: number | undefined
}

/** @throws WeirError STATE_FORMAT when a newer Weir wrote it, LOG_CORRUPT, BACKEND_FAILED */
export async function lookInside(dataDir: string): Promise<DataDirFacts> {
  const db = join(dataDir, 'db')
  // RocksDB would create what is not there
  const exists = await stat(join(db, 'CURRENT')).then(
    found => found.isFile(),
    () => false,
  )
  if (!exists) return { owner: 'nobody', newestMs: undefined }
  try {
    const backend = await openRocksDb(db)
    try {
      const log = await EmbeddedLog.open({ db: backend })
      try {
        return { owner: 'nobody', newestMs: await newestOf(log, 'transactions') }
      } finally {
        await log.close()
      }
    } finally {
      await backend.close()
    }
  } catch (error) {
    if (isWeirError(error, 'DIRECTORY_IN_USE')) return { owner: 'another process', newestMs: undefined }
    throw error
  }
}

export function checkOwner(dataDir: string, facts: DataDirFacts, weirAnswers: boolean): Verdict {
  if (facts.owner === 'nobody') return ok(`${dataDir} belongs to no other process`)
  if (weirAnswers) return ok(`${dataDir} is in use, and a Weir answers`)
  return fail(`${dataDir} is in use by another process`, 'stop it, or choose another --data-dir')
}

/** 2025: whatever this version meets is younger. */
const built = Date.UTC(2025, 0, 1)

export function checkClock(nowMs: number, newestMs: number | undefined): Verdict {
  const now = new Date(nowMs).toISOString()
  if (nowMs < built) return fail(`the clock says ${now}`, 'set it: event times are compared with it')
  if (newestMs === undefined) return ok(`the clock says ${now}`)
  const aheadMs = newestMs - nowMs
  if (aheadMs <= aheadMsMax) return ok(`the clock says ${now}, after the newest record`)
  const ahead = `the newest record is ${Math.round(aheadMs / 1_000)} s ahead of the clock`
  return fail(ahead, 'set the clock (NTP): records would be refused as too far ahead')
}

async function newestOf(log: Log, topic: string): Promise<number | undefined> {
  const at = { topic, partition: 0 }
  try {
    const { earliest, latest } = await log.range(at)
    if (latest <= earliest) return undefined
    const reader = await log.reader([{ ...at, offset: offset(latest - 1n) }])
    const [batch] = await reader.poll({ recordsMax: 1, bytesMax: 1, waitMsMax: millis(0) })
    await reader.close()
    return batch?.timestampMs?.[0]
  } catch (error) {
    // it was opened and stopped before it had topics
    if (isWeirError(error, 'UNKNOWN_TOPIC')) return undefined
    throw error
  }
}

async function nearestExisting(path: string): Promise<string> {
  let at = resolve(path)
  for (;;) {
    const exists = await stat(at).then(
      () => true,
      () => false,
    )
    const above = dirname(at)
    if (exists || above === at) return at
    at = above
  }
}
