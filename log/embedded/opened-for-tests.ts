/** What the tests of the embedded log share: a log on a RocksDB of its own, whose writes can be held, failed and counted. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { millis } from '../../kernel/index.js'
import { type Append, offset, type PollLimits, type Position } from '../port.js'
import { type DbBatch, type EmbeddedDb, EmbeddedLog } from './index.js'
import { openRocksForTests, type RocksForTests } from './rocks-for-tests.js'

const directories: string[] = []

after(async () => {
  for (const directory of directories) await rm(directory, { recursive: true, force: true })
})

async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'weir-log-'))
  directories.push(directory)
  return directory
}

/** A database whose writes can be held, failed and counted. */
export class Gate implements EmbeddedDb {
  readonly db: RocksForTests
  readonly writes: { sync: boolean; operations: number }[] = []
  readonly ranges: Parameters<EmbeddedDb['range']>[0][] = []
  readonly compacted: (readonly [Buffer, Buffer])[] = []
  #held: Promise<'release' | 'fail'> | undefined
  #end: (how: 'release' | 'fail') => void = () => {}

  constructor(db: RocksForTests) {
    this.db = db
  }

  hold(): void {
    this.#held = new Promise(resolve => {
      this.#end = resolve
    })
  }

  end(how: 'release' | 'fail'): void {
    this.#held = undefined
    this.#end(how)
  }

  /** The next write fails, and is not written. */
  failNext(): void {
    this.hold()
    this.#end('fail')
  }

  range(options: Parameters<EmbeddedDb['range']>[0]): ReturnType<EmbeddedDb['range']> {
    this.ranges.push(options)
    return this.db.range(options)
  }

  async compact(gte: Buffer, lt: Buffer): Promise<void> {
    this.compacted.push([gte, lt])
  }

  batch(): DbBatch {
    return this.db.batch()
  }

  async write(batch: DbBatch, options: { readonly sync: boolean }): Promise<void> {
    this.writes.push({ sync: options.sync, operations: batch.operations })
    if ((await this.#held) === 'fail') {
      this.#held = undefined
      throw new Error('no space left on device')
    }
    await this.db.write(batch, options)
  }
}

export interface Opened {
  readonly log: EmbeddedLog
  /** Of the log that is open now. */
  readonly gate: Gate
  readonly reopen: () => Promise<EmbeddedLog>
  readonly close: () => Promise<void>
}

export async function opened(options: { syncCommits?: boolean } = {}): Promise<Opened> {
  const directory = await temporary()
  let gate = new Gate(await openRocksForTests(directory))
  let log = await EmbeddedLog.open({ db: gate, ...options })
  const close = async (): Promise<void> => {
    await log.close()
    await gate.db.close()
  }
  return {
    log,
    get gate() {
      return gate
    },
    async reopen() {
      await close()
      gate = new Gate(await openRocksForTests(directory))
      log = await EmbeddedLog.open({ db: gate })
      return log
    },
    close,
  }
}

export const value = (text: string, partition = 0): Append => ({
  topic: 't',
  partition,
  records: [{ key: null, value: Buffer.from(text) }],
})
export const limits: PollLimits = { recordsMax: 1_000, bytesMax: 1 << 20, waitMsMax: millis(0) }
export const start = (partition = 0, at = 0): Position => ({ topic: 't', partition, offset: offset(at) })

export async function withTopic(partitions = 1, options: { syncCommits?: boolean } = {}): Promise<Opened> {
  const made = await opened(options)
  await made.log.createTopic('t', partitions)
  made.gate.writes.length = 0
  return made
}
