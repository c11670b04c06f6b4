import { createLogger } from '../../edge/index.js'
import { systemClock, WeirError } from '../../kernel/index.js'
import { type Rescaled, type RescaleProgress, reopen, rescale } from '../worker/index.js'
import { checkpointHelp, configOf, kafkaFlags, kafkaHelp } from './settings.js'
import { logSlotEvent } from './slot-log.js'
import { parseFlags, text, type Values, type Verb, type VerbIo, wholeNumber } from './verb.js'
import { deploymentOf } from './worker.js'

const help = `usage: weir rescale --slots N [flags]
       weir rescale --close --name NAME [flags]
       weir rescale --reopen [flags]

Gives a Kafka deployment another number of slots, without losing, doubling or changing a decision. Workers keep running: they
hand over their slots, wait, and go on with the new plan by themselves. All slots are drained and closed, their state goes into
a savepoint of the checkpoint store, and the new plan begins from it. Killed anywhere, the same command goes on from there.

  --slots N           of the new plan: 1 to the partitions of transactions
  --close             closes the plan into the savepoint, and begins none: for another version, which begins with --from
  --reopen            the way back: a closing that was cut short before a slot was closed is given up, and the plan goes on
                      as it was; where nothing is being closed it says so
  --name NAME         of the savepoint; default plan-TIME
  --from NAME         begins from a savepoint that the plan was closed into before; with it, features and rules may be others
  --drop STEP         leaves out the state of a step that the new plan does not have; may be repeated
  --rename OLD=NEW    moves the state of a step that has another name now; may be repeated
  --data-dir DIR      below it lies what is needed while it runs; default .weir (WEIR_DATA_DIR)
  --app NAME          name of the deployment (WEIR_APP)
  --model, --rules, --features, --memory-budget, --card-key   as for weir worker
  --json              the result as JSON; progress goes to standard error
${checkpointHelp}
${kafkaHelp}

example:
  WEIR_KAFKA_BROKERS=localhost:9092 WEIR_CHECKPOINTS_STORE=/srv/weir weir rescale --slots 3
`

const words: Readonly<Record<string, string>> = {
  waiting: 'waiting for the worker group to hand over the slots',
  given: 'the group has handed over all slots; decisions pause',
  started: 'slots have recovered',
  marked: 'inputs are held; draining what is under way between slots',
  drained: 'nothing is under way',
  'slot-closed': 'a slot is closed',
  closed: 'the plan is closed',
  'part-written': 'the state of a slot is saved',
  published: 'the savepoint is complete',
  'plan-fenced': 'nobody else begins a plan',
  'slots-fenced': 'nobody writes for the plan of before',
  begun: 'the new plan has begun',
}

export const rescaleVerb: Verb = {
  name: 'rescale',
  help,
  run: async (args, io) => {
    const values = parseFlags(args, {
      ...kafkaFlags,
      slots: { type: 'string' },
      name: { type: 'string' },
      from: { type: 'string' },
      drop: { type: 'string', multiple: true },
      rename: { type: 'string', multiple: true },
      close: { type: 'boolean' },
      reopen: { type: 'boolean' },
      json: { type: 'boolean' },
    })
    const task = taskOf(values)
    const count = wholeNumber(values, 'slots', { min: 1, max: 1_024, fallback: 1 })
    const wishes = { drop: list(values, 'drop'), rename: renames(values) }
    const settings = {
      ...deploymentOf(configOf(values)),
      signal: io.signal,
      onProgress: (progress: RescaleProgress) => say(io, progress),
    }
    const stamp = new Date(systemClock.nowMs()).toISOString().slice(0, 19).replaceAll(/[-:]/g, '').toLowerCase()
    const result =
      task === 'reopen'
        ? await reopen(settings)
        : await rescale({
            ...settings,
            slots: task === 'close' ? undefined : count,
            from: text(values, 'from'),
            name: text(values, 'name') ?? `plan-${stamp}`,
            wishes,
          })
    const { plan, slots, savepoint = null, pausedMs } = result
    const facts = { plan, slots, savepoint, paused_ms: pausedMs, closed: task === 'close' }
    io.out(values.json === true ? `${JSON.stringify(facts)}\n` : `${inWords[task](result)}\n`)
    return 0
  },
}

type Task = 'slots' | 'close' | 'reopen'

const inWords: Readonly<Record<Task, (result: Rescaled) => string>> = {
  slots: ({ plan, slots, savepoint, pausedMs }) =>
    savepoint === undefined
      ? `plan ${plan} has ${slots} slots already`
      : `plan ${plan} has begun with ${slots} slots, from savepoint ${savepoint}; paused ${pausedMs} ms`,
  close: ({ plan, savepoint }) =>
    `plan ${plan} is closed into savepoint ${savepoint}; nothing is decided until another begins`,
  reopen: ({ plan, slots, savepoint }) =>
    savepoint === undefined
      ? `plan ${plan} is not being closed; it has ${slots} slots and goes on`
      : `plan ${plan} is closed into savepoint ${savepoint} no more; it goes on with its ${slots} slots`,
}

/** Of each of the other flags, what they belong to. */
const belongs: Readonly<Record<string, readonly Task[]>> = {
  name: ['slots', 'close'],
  from: ['slots'],
  drop: ['slots'],
  rename: ['slots'],
}

/** @throws WeirError USAGE */
function taskOf(values: Values): Task {
  const [task, more] = (['slots', 'close', 'reopen'] as const).filter(name => values[name] !== undefined)
  if (task === undefined) throw new WeirError('USAGE', 'one of --slots, --close and --reopen is needed')
  if (more !== undefined) throw new WeirError('USAGE', `--${task} and --${more} exclude each other`)
  for (const [flag, tasks] of Object.entries(belongs)) {
    if (values[flag] === undefined || tasks.includes(task)) continue
    throw new WeirError('USAGE', `--${flag} belongs to ${tasks.map(name => `--${name}`).join(' and ')}`)
  }
  if (values.from !== undefined && values.name !== undefined) {
    throw new WeirError(
      'USAGE',
      '--from names a savepoint that is there, --name one that is made: they exclude each other',
    )
  }
  return task
}

function list(values: Values, name: string): readonly string[] {
  const value = values[name]
  return Array.isArray(value) ? value.map(String) : []
}

/** @throws WeirError USAGE */
function renames(values: Values): Readonly<Record<string, string>> {
  const pairs = list(values, 'rename').map((pair): readonly [string, string] => {
    const [, from, to] = /^([^=]+)=([^=]+)$/.exec(pair) ?? []
    if (from === undefined || to === undefined) throw new WeirError('USAGE', `--rename '${pair}' is not OLD=NEW`)
    return [from, to]
  })
  return Object.fromEntries(pairs)
}

export function say(io: Pick<VerbIo, 'err'>, progress: RescaleProgress): void {
  switch (progress.kind) {
    case 'waiting':
    case 'given':
      io.err(`${words[progress.kind]}\n`)
      return
    case 'at':
      io.err(`${words[progress.point]}\n`)
      return
    case 'trouble':
      io.err(`the worker group does not answer: ${progress.message}\n`)
      return
    case 'slot': {
      const { slot, event } = progress
      const logger = createLogger({ to: { write: line => io.err(line) }, plain: true })
      if (event.kind !== 'recovering') logSlotEvent(logger.child({ slot }), event)
      return
    }
  }
}
