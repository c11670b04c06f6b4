/**
 * `npm run bench:state`: state far larger than memory. A keyed velocity step over as many entities as asked for, each with
 * several records, in an order that helps no cache, some of them late; run by the real slot over RocksDB.
 *
 *   npm run bench:state -- --entities 10000000 --per-entity 3 --budget 512m
 *   npm run bench:state -- --entities 1000000 --dir FOLDER --json
 *
 * Every pass gives each entity one record. Printed for each pass: records a second, CPU, resident memory now and at most,
 * state on disk.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { days, eventTime, millis, systemClock } from '../kernel/index.js'
import { count, mean } from '../operators/index.js'
import { HeapWatch, parseBytes, shareMemory } from '../runners/memory/index.js'
import { Slot } from '../runners/slot/index.js'
import { openRocksDb, StateStore } from '../state/index.js'
import { compile, toJson, topology } from '../topology/index.js'
import { calibrate } from './calibration.js'
import { GeneratedLog } from './generated-log.js'

const { values } = parseArgs({
  options: {
    entities: { type: 'string', default: '1000000' },
    'per-entity': { type: 'string', default: '3' },
    budget: { type: 'string', default: '1g' },
    dir: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
  },
})

const entities = Number(values.entities)
const passes = Number(values['per-entity'])
const memory = shareMemory(parseBytes(values.budget) ?? Number.NaN, { slots: 1, threads: 0 })
const { cacheBytesMax, dirtyBytesMax } = memory
const records = entities * passes
const recordBytes = 16
const startMs = Date.UTC(2024, 0, 1)
const spanMs = 40 * 86_400_000
const lateByMs = 20 * 86_400_000

/** A prime above every number of entities: it visits each of them once a pass, far from the one before. */
const stride = 15_485_863

interface Sighting {
  readonly entity: number
  readonly atMs: number
  readonly amount: number
}

function write(index: number, into: Buffer, at: number): void {
  const entity = ((index % entities) * stride) % entities
  // One in 20 is older than what its entity has shown.
  const lateMs = index % 20 === 7 ? lateByMs : 0
  into.writeUInt32LE(entity, at)
  into.writeDoubleLE(startMs + lateByMs + Math.floor((index / records) * spanMs) - lateMs, at + 4)
  into.writeUInt32LE((Math.imul(index, 2_654_435_761) >>> 12) % 100_000, at + 12)
}

const app = topology('state-benchmark')
app
  .source(
    'sightings',
    {
      name: 'sighting',
      decode: (bytes: Buffer, at: number): Sighting => ({
        entity: bytes.readUInt32LE(at),
        atMs: bytes.readDoubleLE(at + 4),
        amount: bytes.readUInt32LE(at + 12),
      }),
    },
    { eventTime: sighting => eventTime(sighting.atMs) },
  )
  .keyBy('by-entity', sighting => `entity-${sighting.entity}`)
  .velocity(
    'velocity',
    { amount: sighting => sighting.amount },
    {
      count_1day: count().over(days(1)),
      mean_1day: mean('amount').over(days(1)),
      count_7day: count().over(days(7)),
      mean_7day: mean('amount').over(days(7)),
      count_30day: count().over(days(30)),
      mean_30day: mean('amount').over(days(30)),
    },
  )
  .filter('nothing', () => false)
  .to(
    'nothing',
    toJson<Sighting>('sighting', sighting => String(sighting.entity)),
  )

const status = (name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) / 1_024

/** What node knows of its memory, MB. */
function nodeMemory(): Record<string, number> {
  const { heapTotal, heapUsed, external, arrayBuffers } = process.memoryUsage()
  const mb = (bytes: number): number => Math.round(bytes / (1 << 20))
  return { heapMb: mb(heapTotal), heapUsedMb: mb(heapUsed), externalMb: mb(external), arrayBuffersMb: mb(arrayBuffers) }
}

function diskMb(folder: string): number {
  let bytes = 0
  for (const name of readdirSync(folder)) bytes += statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0
  return bytes / (1 << 20)
}

const folder = mkdtempSync(join(values.dir, 'weir-bench-state-'))
const lines: object[] = []
try {
  const plan = compile(app.graph)
  const backend = await openRocksDb(folder, memory.backend)
  const store = await StateStore.open({ backend, keyGroups: 1_024, cacheBytesMax })
  const log = new GeneratedLog({
    topic: 'sightings',
    journal: 'weir.state-benchmark.epochs',
    records,
    recordBytes,
    write,
  })
  const slot = new Slot({
    plan,
    slot: 0,
    log,
    store,
    models: new Map(),
    clock: systemClock,
    syncState: false,
    limits: { epochRecordsMax: 8_192, dirtyBytesMax, pollWaitMs: millis(0) },
    genesis: {
      app: plan.app,
      slots: 1,
      key_groups: 1_024,
      partitions: [{ topic: 'sightings', count: 1 }],
      start: [{ topic: 'sightings', partition: 0, offset: '0' }],
      job: {},
    },
    deadLetters: { topic: 'dead-letter', encode: () => ({ key: null, value: null }) },
  })
  await slot.start()
  const heap = new HeapWatch(cacheBytesMax)
  let before = { wall: performance.now(), cpu: process.cpuUsage(), phases: new Map(slot.phases.totalsMs) }
  let done = 0
  let told = 0
  for (let pass = 0; pass < passes; pass++) {
    const until = entities * (pass + 1)
    const from = done
    while (done < until) {
      const result = await slot.step()
      heap.look(store.cacheBytes)
      if (result.kind === 'committed') done += result.records
      else if (result.kind === 'finished') break
      if (done < told + 1e6) continue
      told = done
      const seconds = Math.round(performance.now() / 1_000)
      process.stderr.write(
        `${done} records, peak ${Math.round(status('VmHWM'))} MB, ${Math.round(diskMb(folder))} MB on disk, ${seconds} s\n`,
      )
    }
    const now = { wall: performance.now(), cpu: process.cpuUsage(), phases: new Map(slot.phases.totalsMs) }
    const per = (ms: number): number => Number(((ms * 1_000) / (done - from)).toFixed(2))
    const line = {
      pass: pass + 1,
      records: done - from,
      perSecond: Math.round((done - from) / ((now.wall - before.wall) / 1_000)),
      wallUs: per(now.wall - before.wall),
      cpuUs: per((now.cpu.user + now.cpu.system - before.cpu.user - before.cpu.system) / 1_000),
      rssMb: Math.round(status('VmRSS')),
      peakMb: Math.round(status('VmHWM')),
      ...nodeMemory(),
      parts: Object.fromEntries(
        Object.entries(store.memory).map(([name, bytes]) => [name, Math.round(bytes / (1 << 20))]),
      ),
      diskMb: Math.round(diskMb(folder)),
      phasesUs: Object.fromEntries(
        [...now.phases].map(([name, ms]) => [name, per(ms - (before.phases.get(name) ?? 0))]),
      ),
    }
    lines.push(line)
    if (!values.json) process.stdout.write(`${JSON.stringify(line)}\n`)
    before = now
  }
  await slot.close({ keepState: true })
  await backend.close()
  const end = {
    entities,
    records,
    budget: values.budget,
    peakMb: Math.round(status('VmHWM')),
    calibrationUs: calibrate(),
  }
  process.stdout.write(
    values.json ? `${JSON.stringify({ ...end, passes: lines }, null, 2)}\n` : `${JSON.stringify(end)}\n`,
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}
