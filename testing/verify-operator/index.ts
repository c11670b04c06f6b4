/**
 * `verifyOperator`: runs an operator in every way in which the engine may run it, and compares (after Hazelcast Jet's
 * TestSupport). What must not show in the output:
 * 1. how records are cut into epochs: all at once, or one by one;
 * 2. a full output: every other push is refused, and the call made again;
 * 3. restarts: state written, the instance thrown away, another one opened on what was stored, between any two records;
 * 4. a cache too small to hold anything: every record meets state misses.
 */
import { isDeepStrictEqual } from 'node:util'
import { AssertionError, beginningOfTime, type EventTimeMs } from '../../kernel/index.js'
import type { HopTag, OperatorSpec, Row, RowOutput, StepRuntime } from '../../operators/index.js'
import { Phases, Pipeline } from '../../runners/slot/index.js'
import { MemoryDisk, StateStore } from '../../state/index.js'
import { compile, type Plan, type SinkFormat, type SourceFormat, topology } from '../../topology/index.js'

export type VerifyItem =
  | { readonly value: unknown; readonly at: EventTimeMs; readonly port?: number; readonly hop?: HopTag }
  /** The epoch ends here in every variant, and the watermark moves. */
  | { readonly watermark: EventTimeMs }

export interface VerifyOptions {
  readonly spec: () => OperatorSpec
  /** One for each input; steps without state need none. */
  readonly keyOf?: readonly ((value: never) => string)[]
  readonly ports?: number
  readonly items: readonly VerifyItem[]
}

/** What is compared of each row out. */
export interface VerifiedRow {
  readonly value: unknown
  readonly at: EventTimeMs
  readonly flags: number
  readonly features: readonly number[]
}

interface Variant {
  readonly name: string
  readonly epochItems: number
  readonly fullEveryOther: boolean
  readonly restart: boolean
  readonly cacheBytesMax: number
}

const roomy = 64 << 20
const variants: readonly Variant[] = [
  { name: 'one by one', epochItems: 1, fullEveryOther: false, restart: false, cacheBytesMax: roomy },
  {
    name: 'full output at every other push',
    epochItems: 7,
    fullEveryOther: true,
    restart: false,
    cacheBytesMax: roomy,
  },
  { name: 'restarted after every record', epochItems: 1, fullEveryOther: false, restart: true, cacheBytesMax: roomy },
  { name: 'restarted, full outputs', epochItems: 3, fullEveryOther: true, restart: true, cacheBytesMax: roomy },
  { name: 'no room in the cache', epochItems: 5, fullEveryOther: false, restart: false, cacheBytesMax: 1 },
]

/**
 * @returns what came out when all items ran in as few epochs as the watermarks allow
 * @throws AssertionError naming the variant and the first row that differs
 */
export async function verifyOperator(options: VerifyOptions): Promise<readonly VerifiedRow[]> {
  const straight: Variant = {
    name: 'straight',
    epochItems: Number.MAX_SAFE_INTEGER,
    fullEveryOther: false,
    restart: false,
    cacheBytesMax: roomy,
  }
  const expected = await run(options, straight)
  for (const variant of variants) {
    const actual = await run(options, variant)
    const length = Math.max(expected.length, actual.length)
    for (let i = 0; i < length; i++) {
      if (isDeepStrictEqual(expected[i], actual[i])) continue
      throw new AssertionError(`${variant.name}: row ${i} is ${show(actual[i])}, but straight ${show(expected[i])}`)
    }
  }
  return expected
}

const show = (row: VerifiedRow | undefined): string =>
  row === undefined ? 'missing' : JSON.stringify(row, (_, value) => (typeof value === 'bigint' ? String(value) : value))

async function run(options: VerifyOptions, variant: Variant): Promise<VerifiedRow[]> {
  const disk = new MemoryDisk()
  const out: VerifiedRow[] = []
  let instance = await open(options, variant, disk)
  let epoch = 0
  let watermark = beginningOfTime
  let pending: Exclude<VerifyItem, { watermark: EventTimeMs }>[] = []
  const flush = async (): Promise<void> => {
    await instance.pipeline.run(toRows(instance.plan, pending), { watermarks: [watermark] }, 'live')
    pending = []
    for (const { value, at, flags, features } of instance.pipeline.rowsFor(instance.plan.sinks[0]!)) {
      out.push({ value: structuredClone(value), at, flags, features: [...features] })
    }
    const write = instance.store.serialise()
    await instance.store.write(
      write,
      { epoch: ++epoch, journalHash: `h${epoch}`, fingerprint: 'verify' },
      { sync: true },
    )
    instance.store.evict()
    if (variant.restart) {
      disk.crash()
      instance = await open(options, variant, disk)
    }
  }
  for (const item of options.items) {
    if ('watermark' in item) {
      watermark = item.watermark
      await flush()
    } else {
      pending.push(item)
      if (pending.length >= variant.epochItems) await flush()
    }
  }
  if (pending.length > 0) await flush()
  return out
}

async function open(
  options: VerifyOptions,
  variant: Variant,
  disk: MemoryDisk,
): Promise<{ plan: Plan; store: StateStore; pipeline: Pipeline }> {
  const store = await StateStore.open({ backend: disk.open(), keyGroups: 8, cacheBytesMax: variant.cacheBytesMax })
  const plan = planOf(options, variant)
  const limits = { rowsPerStepMax: 1 << 20, outputRowsMax: 3, timersPerEpochMax: 1 << 20 }
  return { plan, store, pipeline: new Pipeline(plan, store, new Map(), limits, new Phases()) }
}

const format: SourceFormat<unknown> = { name: 'verify', decode: () => null }
const sink: SinkFormat<unknown> = {
  name: 'verify',
  keyOf: () => '',
  encoder: () => {
    throw new AssertionError('rows are read before they are encoded')
  },
}

function planOf(options: VerifyOptions, variant: Variant): Plan {
  const app = topology('verify')
  const spec = variant.fullEveryOther ? refusing(options.spec()) : options.spec()
  const ports = Array.from({ length: options.ports ?? 1 }, (_, port) => {
    const stream = app.source(`port-${port}`, format, { eventTime: () => beginningOfTime })
    const keyOf = options.keyOf?.[port]
    return keyOf === undefined ? stream : stream.keyBy(`key-${port}`, keyOf as (value: unknown) => string)
  })
  ports[0]!.via<unknown>('step', spec, ...ports.slice(1)).to('out', sink)
  return compile(app.graph)
}

function toRows(plan: Plan, items: readonly Exclude<VerifyItem, { watermark: EventTimeMs }>[]): Row[][] {
  const rows: Row[][] = plan.sources.map(() => [])
  items.forEach((item, ordinal) => {
    rows[item.port ?? 0]!.push({
      value: item.value,
      at: item.at,
      key: '',
      ordinal,
      flags: 0,
      features: new Array<number>(plan.featureNames.length).fill(Number.NaN),
      score: Number.NaN,
      source: { topic: 'verify', partition: 0, offset: ordinal },
      loggedAtMs: Number.NaN,
      hop: item.hop ?? null,
    })
  })
  return rows
}

/** The same operator behind an output that refuses every other push. */
function refusing(spec: OperatorSpec): OperatorSpec {
  return {
    ...spec,
    create: context => {
      const runtime = spec.create(context)
      let refuse = true
      const through = (out: RowOutput): RowOutput => ({
        push: row => {
          refuse = !refuse
          return !refuse && out.push(row)
        },
      })
      const wrapped: StepRuntime = {
        onRow: (row, out, port) => runtime.onRow(row, through(out), port),
        ...(runtime.onTimer && { onTimer: (at, out) => runtime.onTimer!(at, through(out)) }),
        ...(runtime.onWatermark && { onWatermark: (to, out) => runtime.onWatermark!(to, through(out)) }),
      }
      return wrapped
    },
  }
}
