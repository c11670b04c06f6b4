/** What only worlds with plan changes meet; `main` asserts each with `--rescale`. */
import type { BeginPoint, ClosePoint } from '../../runners/plans/index.js'

/** Where whoever changes the plan is stopped dead; and a slot of the next plan, while it takes over its state. */
export const planPoints = [
  'plan started',
  'plan marked',
  'plan drained',
  'plan slot-closed',
  'plan closed',
  'plan part-written',
  'plan published',
  'plan plan-fenced',
  'plan slots-fenced',
  'plan begun',
] as const satisfies readonly `plan ${ClosePoint | BeginPoint}`[]

export const planKinds = [
  'next plan begun',
  'plan begun by another',
  'plan called back',
  'rescaler fenced',
  'rescaler finds the plan over',
  'owner leaves a plan that ends',
  'owner of a plan that ends',
  'owner of a plan that ends starts',
  'owner hangs as its plan ends',
  'old plan refused',
  'zombie of an old plan fenced',
  'seeded',
  'seeded over an old state',
  'disk lost while it is seeded',
  'savepoint store fails',
  'savepoint damaged',
  'savepoint found damaged',
] as const

export type PlanPoint = (typeof planPoints)[number] | 'seeding'
export type PlanKind = (typeof planKinds)[number]
