/** What the steps of a plan keep: for savepoints, and to hold a savepoint against. */
import { AssertionError } from '../kernel/index.js'
import type { OperatorSpec, StepContext } from '../operators/index.js'
import { declaredState, type StateFactory, type StepStateSchema } from '../state/index.js'
import type { Plan } from './plan.js'

/** Of the steps that keep state, in execution order. Operators are created for what they declare, and dropped. */
export function stateSchemas({ steps }: Pick<Plan, 'steps'>): readonly StepStateSchema[] {
  return steps.flatMap((node): StepStateSchema[] => {
    if (node.kind !== 'operator' || !node.spec.stateful) return []
    const handles = declaredState(state => declareState(node.name, node.spec, state))
    return [{ step: node.name, ...(isExchange(node.spec) && { exchange: true }), handles }]
  })
}

/** The engine's own: nobody else keys by the row itself. */
const isExchange = (spec: OperatorSpec): boolean => spec.keyOfRow !== undefined

/** Declares what the operator keeps, and runs nothing of it: to look at state that another process has left. */
export function declareState(step: string, spec: OperatorSpec, state: StateFactory): void {
  const unused = (): never => {
    throw new AssertionError(`step '${step}' is created for what it declares alone`)
  }
  const timers = { timerAt: unused, cancel: unused }
  const context: StepContext = {
    step,
    state,
    timers,
    featureColumn: () => 0,
    columns: row => row.features,
    count: unused,
    derive: unused,
    blank: unused,
  }
  spec.create(context)
}
