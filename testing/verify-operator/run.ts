/** Runs an operator over items, in one of the ways in which the engine may run it. */
import { AssertionError, beginningOfTime, type EventTimeMs } from '../../kernel/index.js'
import type { HopTag, OperatorSpec, Row, RowOutput, StepRuntime } from '../../operators/index.js'
import { Phases, Pipeline } from '../../runners/slot/index.js'
import { type MemoryDisk, type StateBackend, StateStore } from '../../state/index.js'
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

/** One way of running it. */
export interface Variant {
  readonly name: string
  readonly epochItems: number
  readonly fullEveryOther: boolean
  readonly restart: boolean
  readonly cacheBytesMax: number
}

const roomy = 64 << 20

/** As few epochs as the watermarks allow, and nothing in the way. */
export const straight: Variant = {
  name: 'straight',
  epochItems: Number.MAX_SAFE_INTEGER,
  fullEveryOther: false,
  restart: false,
  cacheBytesMax: roomy,
}

export const variants: readonly Variant[] = [
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

export const keyGroups = 8

/** @param disk what the state is kept on: empty, or as somebody left it */
export async function run(options: VerifyOptions, variant: Variant, disk: MemoryDisk): Promise<VerifiedRow[]> {
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
  await instance.backend.close()
  return out
}

async function open(
  options: VerifyOptions,
  variant: Variant,
  disk: MemoryDisk,
): Promise<{ plan: Plan; backend: StateBackend; store: StateStore; pipeline: Pipeline }> {
  const backend = disk.open()
  const store = await StateStore.open({ backend, keyGroups, cacheBytesMax: variant.cacheBytesMax })
  const plan = planOf(options, variant)
  const limits = { rowsPerStepMax: 1 << 20, outputRowsMax: 3, timersPerEpochMax: 1 << 20 }
  return { plan, backend, store, pipeline: new Pipeline(plan, store, new Map(), limits, new Phases()) }
}

const format: SourceFormat<unknown> = { name: 'verify', decode: () => null }
const sink: SinkFormat<unknown> = {
  name: 'verify',
  keyOf: () => '',
  encoder: () => {
    throw new AssertionError('rows are read before they are encoded')
  },
}

export function planOf(options: Omit<VerifyOptions, 'items'>, variant: Variant): Plan {
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
