/**
 * `weir worker`: a member of the group, and threads that run the slots that the group gives it.
 *
 * Invariants: 1. a slot is told to run only once the thread that ran it here before has released it; 2. a thread may fence
 * only while the slot is assigned, as owner or as standby, and the membership fresh (I4); 3. stopping releases every slot before the group is left,
 * so that nobody has to be fenced; 4. an error that stays ends the worker with it: an operator has to act.
 */
import { Worker as Thread } from 'node:worker_threads'
import { assert, type Clock, messageOf, millis, seconds, WeirError } from '../../kernel/index.js'
import type { PartitionOffset, SlotInspection } from '../slot/index.js'
import type { Assigned, MemberNote } from './assigner.js'
import type { WorkerJob } from './job.js'
import type { Membership } from './membership.js'
import type { FromThread, HostEvent, SlotFailure, SlotStatus, StateQuestion, ToThread } from './messages.js'

const permissionPoll = millis(50)
const commitEvery = millis(1_000)
/** By whoever has no slot. It is a log-in at the brokers each time. */
const planLookUpEvery = seconds(10)
/** A slot polls every tenth of a second; one that waits for a broker does not. */
const silenceMax = seconds(3)

export type WorkerEvent =
  | ({ readonly kind: 'assigned' } & Assigned)
  | { readonly kind: 'slot'; readonly slot: number; readonly event: HostEvent }
  | { readonly kind: 'running' | 'following' | 'released'; readonly slot: number }
  | { readonly kind: 'waiting' | 'group-trouble' | 'offsets-not-committed'; readonly message: string }

/** Of one worker; each slot has a bound of its own below it. */
const inspectionsMax = 64

export interface WorkerOptions {
  readonly job: WorkerJob
  /** The slot of a key. @throws WeirError UNKNOWN_STEP */
  readonly slotOf: (step: string, key: string) => number
  readonly threads: number
  /** Put before the topics' names in Kafka. */
  readonly prefix: string
  readonly clock: Clock
  /** Why the plan of the job is not the one to run; undefined while it is, or where Kafka does not say. */
  readonly planIsOver: () => Promise<string | undefined>
  readonly membership: (callbacks: MembershipCallbacks) => Membership
  readonly onEvent: (event: WorkerEvent) => void
}

export interface MembershipCallbacks {
  readonly note: () => MemberNote
  readonly onAssigned: (assigned: Assigned) => void
  readonly onTrouble: (message: string) => void
}

type InspectAnswer = SlotInspection | SlotFailure

interface RunningThread {
  readonly thread: Thread
  readonly slots: Set<number>
}

export class SlotWorker {
  readonly #options: WorkerOptions
  readonly #membership: Membership
  readonly #threads: RunningThread[] = []
  /** Slots that run here, or are being released. */
  readonly #placed = new Map<number, { readonly on: RunningThread; stopping: boolean }>()
  /** What each slot said last, and when. */
  readonly #status = new Map<number, { readonly status: SlotStatus; readonly atMs: number }>()
  /** Why a slot does not get on; until it has told again how it is. */
  readonly #troubles = new Map<number, string>()
  readonly #stored = new Map<number, number>()
  /** Questions that threads have not answered yet, by id. */
  readonly #asked = new Map<number, { readonly on: RunningThread; readonly answer: (found: InspectAnswer) => void }>()
  #questions = 0
  #planLookedUpAtMs = Number.NEGATIVE_INFINITY
  #wanted: Assigned = { slots: [], standbys: [] }
  #trouble: string | undefined = 'joining the group'
  #stopping = false
  #registryAnswers = true
  #failure: WeirError | undefined
  #onEnd: () => void = () => {}

  /** @param stored epochs of the stores that already lie on this disk, by slot */
  constructor(options: WorkerOptions, stored: ReadonlyMap<number, number>) {
    this.#options = options
    for (const [slot, epoch] of stored) this.#stored.set(slot, epoch)
    this.#membership = options.membership({
      note: () => this.#memberNote(),
      onAssigned: assigned => this.#assigned(assigned),
      onTrouble: message => this.#groupTrouble(message),
    })
  }

  get status(): readonly SlotStatus[] {
    return [...this.#status.values()].map(({ status }) => status).sort((a, b) => a.slot - b.slot)
  }

  /** Why this worker cannot do its part now; empty when it can. */
  notReady(): readonly string[] {
    const reasons: string[] = []
    if (this.#stopping) reasons.push('stopping')
    if (this.#trouble !== undefined) reasons.push(this.#trouble)
    else if (!this.#membership.fresh) reasons.push('the worker group has not answered for seconds')
    if (!this.#registryAnswers) reasons.push('the schema registry does not answer')
    for (const slot of this.#wantedSlots()) {
      const heard = this.#status.get(slot)
      const state = heard?.status.state ?? 'starting'
      const { epochs = 0 } = heard?.status.behind ?? {}
      const by = epochs > 0 ? `, ${epochs} epochs behind` : ''
      const trouble = this.#troubles.get(slot)
      const why = trouble === undefined ? '' : `: ${trouble}`
      if (state !== 'running' && state !== 'following') reasons.push(`slot ${slot} is ${state}${by}${why}`)
      const silentMs = heard === undefined ? 0 : this.#options.clock.nowMs() - heard.atMs
      if (silentMs > silenceMax) reasons.push(`slot ${slot} has not got on for ${Math.round(silentMs / 1_000)} s`)
    }
    for (const { slot, inputs, closesInto } of this.status) {
      if (closesInto !== undefined) {
        reasons.push(`slot ${slot} reads no more: its plan is being closed into '${closesInto}' (weir rescale)`)
      }
      for (const { topic, partition, undecided, behind } of inputs) {
        if (undecided > 0 && undecided === behind) {
          reasons.push(`slot ${slot} waits for an open transaction of a producer in ${topic}/${partition}`)
        }
      }
    }
    return reasons
  }

  /**
   * What a step keeps of a key, where the slot of the key runs here.
   * @throws WeirError UNKNOWN_STEP, SLOT_ELSEWHERE, NOT_READY, QUEUE_FULL, BACKEND_FAILED
   */
  async inspect(question: StateQuestion): Promise<SlotInspection> {
    const slot = this.#options.slotOf(question.step, question.key)
    const placed = this.#placed.get(slot)
    if (placed === undefined) {
      const here = [...this.#placed.keys()].sort((a, b) => a - b).join(', ')
      throw new WeirError('SLOT_ELSEWHERE', `slot ${slot} has this key; slots that run here: ${here || 'none'}`)
    }
    if (this.#asked.size >= inspectionsMax) {
      throw new WeirError('QUEUE_FULL', `${inspectionsMax} questions about state wait already`)
    }
    const id = ++this.#questions
    const answer = await new Promise<InspectAnswer>(resolve => {
      this.#asked.set(id, { on: placed.on, answer: resolve })
      tell(placed.on.thread, { kind: 'inspect', id, slot, question })
    })
    if ('code' in answer) throw new WeirError(answer.code, answer.what)
    return answer
  }

  /** Runs until `signal` is aborted. @throws WeirError that needs an operator */
  async run(signal: AbortSignal): Promise<void> {
    for (let i = 0; i < this.#options.threads; i++) this.#threads.push(this.#startThread())
    const ended = new Promise<void>(resolve => {
      this.#onEnd = resolve
      if (signal.aborted) resolve()
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    await this.#membership.start()
    const committing = this.#commitNowAndThen(signal)
    await ended
    await this.#stop()
    await committing
    if (this.#failure !== undefined) throw this.#failure
  }

  async #stop(): Promise<void> {
    this.#stopping = true
    this.#wanted = { slots: [], standbys: [] }
    this.#place()
    while (this.#placed.size > 0) await this.#options.clock.sleep(millis(10))
    await this.#membership.stop()
    for (const { thread } of this.#threads) tell(thread, { kind: 'end' })
    await Promise.all(this.#threads.map(({ thread }) => ended(thread)))
  }

  #assigned(assigned: Assigned): void {
    this.#trouble = undefined
    this.#options.onEvent({ kind: 'assigned', ...assigned })
    // Who ends a plan joins the group, and leaves it when the next has begun.
    this.#planLookedUpAtMs = Number.NEGATIVE_INFINITY
    if (this.#stopping) return
    const before = this.#wanted
    this.#wanted = assigned
    for (const [slot, { on }] of this.#placed) {
      const given = assigned.slots.includes(slot)
      if (given !== before.slots.includes(slot)) tell(on.thread, { kind: 'give', slot, given })
    }
    this.#place()
  }

  #wantedSlots(): readonly number[] {
    return [...this.#wanted.slots, ...this.#wanted.standbys]
  }

  /** What a slot does here is what its thread says; before it has, what the group has given it as. */
  #memberNote(): MemberNote {
    const { threads, job } = this.#options
    const follows = (slot: number): boolean =>
      this.#status.has(slot) ? this.#status.get(slot)?.status.behind !== undefined : !this.#wanted.slots.includes(slot)
    const placed = [...this.#placed.keys()]
    const following = job.standbys === 0 ? [] : placed.filter(follows)
    const running = placed.filter(slot => !following.includes(slot))
    const { standbys, planNumber: plan, slots } = job
    return { threads, running, following, stored: this.#stored, standbys, plan, slots, closes: false }
  }

  #groupTrouble(message: string): void {
    this.#trouble = `the worker group does not answer: ${message}`
    this.#options.onEvent({ kind: 'group-trouble', message })
  }

  /** Brings what runs to what is wanted. */
  #place(): void {
    for (const [slot, placed] of this.#placed) {
      if (this.#wantedSlots().includes(slot) || placed.stopping) continue
      placed.stopping = true
      tell(placed.on.thread, { kind: 'stop', slot })
    }
    for (const slot of this.#wantedSlots()) {
      if (this.#placed.has(slot)) continue
      const on = this.#threads.reduce((least, thread) => (thread.slots.size < least.slots.size ? thread : least))
      on.slots.add(slot)
      this.#placed.set(slot, { on, stopping: false })
      tell(on.thread, { kind: 'run', slot, given: this.#wanted.slots.includes(slot) })
    }
  }

  #startThread(): RunningThread {
    const running: RunningThread = {
      thread: new Thread(new URL('./thread.js', import.meta.url), { workerData: this.#options.job }),
      slots: new Set(),
    }
    running.thread.on('message', (message: FromThread) => this.#heard(running, message))
    // A bug, or memory that ran out: its slots have lost their owner here, and the process says so.
    running.thread.on('error', error =>
      this.#fail(new WeirError('INTERNAL_ERROR', `a slot thread failed: ${error.message}`, { cause: error }), running),
    )
    return running
  }

  #heard(from: RunningThread, message: FromThread): void {
    switch (message.kind) {
      case 'status':
        this.#note(message.status)
        if (message.status.stored !== undefined) this.#stored.set(message.status.slot, message.status.stored)
        break
      case 'event':
        if (message.event.kind === 'failed' || message.event.kind === 'unavailable') {
          this.#noteFailed(message.slot, message.event.reason)
        }
        if (message.event.kind === 'registry') this.#registryAnswers = message.event.answers
        this.#options.onEvent({ kind: 'slot', slot: message.slot, event: message.event })
        break
      case 'ask':
        void this.#answer(from, message.slot, message.now)
        break
      case 'inspected':
        this.#asked.get(message.id)?.answer(message.answer)
        this.#asked.delete(message.id)
        break
      case 'released':
        this.#released(from, message.slot)
        if (message.failure !== undefined) this.#failWith(message.failure)
        break
    }
  }

  #note(status: SlotStatus): void {
    const before = this.#status.get(status.slot)?.status.state
    for (const kind of ['running', 'following'] as const) {
      if (status.state === kind && before !== kind) this.#options.onEvent({ kind, slot: status.slot })
    }
    this.#status.set(status.slot, { status, atMs: this.#options.clock.nowMs() })
    this.#troubles.delete(status.slot)
  }

  #noteFailed(slot: number, reason: string): void {
    const heard = this.#status.get(slot)
    if (heard !== undefined) this.#note({ ...heard.status, state: 'failed' })
    this.#troubles.set(slot, reason)
  }

  async #answer(thread: RunningThread, slot: number, now: boolean): Promise<void> {
    const placed = this.#placed.get(slot)
    assert(placed?.on === thread, `slot ${slot} asks from the thread that it runs on`)
    for (;;) {
      const wanted = !placed.stopping && this.#wantedSlots().includes(slot)
      const { fresh } = this.#membership
      if (!wanted || fresh || now) {
        tell(thread.thread, { kind: 'permission', slot, granted: wanted && fresh })
        return
      }
      await this.#options.clock.sleep(permissionPoll)
    }
  }

  #released(from: RunningThread, slot: number): void {
    from.slots.delete(slot)
    this.#placed.delete(slot)
    this.#status.delete(slot)
    this.#troubles.delete(slot)
    this.#options.onEvent({ kind: 'released', slot })
    // Given back to us while it was being released.
    if (this.#failure === undefined) this.#place()
  }

  #failWith({ code, what }: SlotFailure): void {
    this.#failure ??= new WeirError(code, what)
    this.#onEnd()
  }

  #fail(error: WeirError, running: RunningThread): void {
    for (const slot of running.slots) this.#placed.delete(slot)
    running.slots.clear()
    for (const [id, { on, answer }] of this.#asked) {
      if (on !== running) continue
      this.#asked.delete(id)
      answer({ code: 'NOT_READY', what: 'the thread of the slot has failed' })
    }
    this.#failure ??= error
    this.#onEnd()
  }

  #positions(): readonly PartitionOffset[] {
    const { prefix } = this.#options
    return this.status.flatMap(({ positions }) => positions.map(at => ({ ...at, topic: prefix + at.topic })))
  }

  /** Whoever has no slot is not told by one that the plan is over. */
  async #lookForNextPlan(): Promise<void> {
    const nowMs = this.#options.clock.nowMs()
    if (this.#placed.size > 0 || this.#stopping || nowMs - this.#planLookedUpAtMs < planLookUpEvery) return
    this.#planLookedUpAtMs = nowMs
    const over = await this.#options.planIsOver()
    if (over !== undefined) this.#failWith({ code: 'PLAN_CLOSED', what: over })
  }

  async #commitNowAndThen(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#failure === undefined) {
      await this.#options.clock.sleep(commitEvery)
      await this.#lookForNextPlan()
      try {
        await this.#membership.commit(this.#positions())
      } catch (error) {
        // A courtesy to lag tools, tried again within a second; what matters of the group's state shows elsewhere.
        this.#options.onEvent({ kind: 'offsets-not-committed', message: messageOf(error) })
      }
    }
  }
}

const tell = (thread: Thread, message: ToThread): void => thread.postMessage(message)

const ended = (thread: Thread): Promise<void> =>
  new Promise(resolve => {
    if (thread.threadId === -1) resolve()
    else thread.once('exit', () => resolve())
  })
