/** What the steps of a plan keep: for savepoints, and to hold a savepoint against. */
import { AssertionError } from '../kernel/index.js'
import type { OperatorSpec, StepContext } from '../operators/index.js'
import { declaredState, type StepStateSchema } from '../state/index.js'
import type { Plan } from './plan.js'

/** Of the steps that keep state, in execution order. Operators are created for what they declare, and dropped. */
export function stateSchemas({ steps }: Pick<Plan, 'steps'>): readonly StepStateSchema[] {
  return steps.flatMap((node): StepStateSchema[] => {
    if (node.kind !== 'operator' || !node.spec.stateful) return []
    const handles = declaredState(state => node.spec.create(contextOf(node.name, state)))
    return [{ step: node.name, ...(isExchange(node.spec) && { exchange: true }), handles }]
  })
}

/** The engine's own: nobody else keys by the row itself. */
const isExchange = (spec: OperatorSpec): boolean => spec.keyOfRow !== undefined

function contextOf(step: string, state: StepContext['state']): StepContext {
  const unused = (): never => {
    throw new AssertionError(`step '${step}' is created for what it declares alone`)
  }
  const timers = { timerAt: unused, cancel: unused }
  return { step, state, timers, featureColumn: () => 0, count: unused, derive: unused, blank: unused }
}
