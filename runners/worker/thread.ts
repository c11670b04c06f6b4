/** A thread that runs slots: the loaded models are shared by them, nothing else is. Started by worker.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { defined, isWeirError, messageOf, systemClock, WeirError } from '../../kernel/index.js'
import type { SlotInspection } from '../slot/index.js'
import { modelsOf, planOf, type WorkerJob, writerSchemasOf } from './job.js'
import type { FromThread, SlotFailure, StateQuestion, ToThread } from './messages.js'
import { SlotHost } from './slot-host.js'

const port = defined(parentPort, 'the port of a worker thread')
const job = workerData as WorkerJob
const say = (message: FromThread): void => port.postMessage(message)

const schemas = writerSchemasOf(job, systemClock)
const plan = planOf(job, schemas)
const models = await modelsOf(job, plan)
const hosts = new Map<number, SlotHost>()
const asked = new Map<number, (granted: boolean) => void>()

function run(slot: number, given: boolean): void {
  const host = new SlotHost(
    job,
    slot,
    { plan, models, schemas },
    {
      clock: systemClock,
      permission: (now = false) =>
        new Promise(resolve => {
          asked.set(slot, resolve)
          say({ kind: 'ask', slot, now })
        }),
      onStatus: status => say({ kind: 'status', status }),
      onEvent: event => say({ kind: 'event', slot, event }),
    },
  )
  host.give(given)
  hosts.set(slot, host)
  host.run().then(
    () => released(slot, undefined),
    (error: unknown) => released(slot, error),
  )
}

function released(slot: number, error: unknown): void {
  hosts.delete(slot)
  asked.delete(slot)
  say({ kind: 'released', slot, failure: error === undefined ? undefined : failureOf(error) })
}

async function inspected(slot: number, { step, key, showPii }: StateQuestion): Promise<SlotInspection | SlotFailure> {
  try {
    const host = hosts.get(slot)
    if (host === undefined) throw new WeirError('NOT_READY', `slot ${slot} does not run yet`)
    return await host.inspect(step, key, { showPii })
  } catch (error) {
    return failureOf(error)
  }
}

function failureOf(error: unknown): SlotFailure {
  return isWeirError(error)
    ? { code: error.code, what: error.what }
    : { code: 'INTERNAL_ERROR', what: messageOf(error) }
}

port.on('message', async (message: ToThread) => {
  switch (message.kind) {
    case 'run':
      run(message.slot, message.given)
      break
    case 'give':
      hosts.get(message.slot)?.give(message.given)
      break
    case 'stop':
      hosts.get(message.slot)?.stop()
      break
    case 'inspect':
      say({ kind: 'inspected', id: message.id, answer: await inspected(message.slot, message.question) })
      break
    case 'permission': {
      const answer = asked.get(message.slot)
      asked.delete(message.slot)
      answer?.(message.granted)
      break
    }
    case 'end':
      for (const model of models.values()) await model.close()
      port.close()
      break
  }
})
