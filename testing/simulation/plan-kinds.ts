/** What only worlds with plan changes meet; `main` asserts each with `--rescale`. */
import type { BeginPoint, ClosePoint } from '../../runners/plans/index.js'

/** Where whoever changes the plan is stopped dead; and a slot of the next plan, while it takes over its state. */
export const planPoints = [
  'started',
  'marked',
  'drained',
  'slot-closed',
  'closed',
  'part-written',
  'published',
  'plan-fenced',
  'slots-fenced',
  'begun',
] as const satisfies readonly (ClosePoint | BeginPoint)[]

export const planKinds = [
  'plan begun',
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
  'seeding',
  'disk lost while it is seeded',
  'savepoint store fails',
  'savepoint damaged',
  'savepoint found damaged',
] as const

export type PlanPoint = (typeof planPoints)[number] | 'seeding'
export type PlanKind = (typeof planKinds)[number]
