/** A plan for people: text or mermaid. */

import type { HopNode } from './graph.js'
import { inputsOf } from './graph.js'
import { describeSteps, type Plan, type StepDescription } from './plan.js'

type Described = Pick<Plan, 'app' | 'steps' | 'hops' | 'placement'>

export function describeText(plan: Described): string {
  const lines = [`topology ${plan.app}`]
  const width = Math.max(20, ...plan.steps.map(({ name }) => name.length))
  for (const step of describeSteps(plan.steps)) {
    lines.push(
      `  ${step.step.padEnd(width)} ${step.kind.padEnd(10)} ${step.inputs.length ? `<- ${step.inputs.join(', ')}` : ''}`.trimEnd(),
    )
    for (const feature of step.features) lines.push(`  ${''.padEnd(width)}   ${feature}`)
  }
  if (plan.hops.length > 0) {
    lines.push('', `hops, with ${plan.placement.slots} slots (each is one more commit for the records that take it)`)
    for (const hop of describeHops(plan)) lines.push(`  ${hop.topic}`, `  ${''.padEnd(4)}${hop.why}`)
    lines.push('', `a record that takes the longest way is committed ${commitsOf(plan)} times before its result is out`)
  }
  return `${lines.join('\n')}\n`
}

export function describeMermaid(plan: Described): string {
  const steps = describeSteps(plan.steps)
  const hops = new Map(plan.hops.map(hop => [hop.name, hop]))
  const readers = new Map(
    plan.steps.flatMap(node => (node.kind === 'source' && node.hop ? [[node.name, node.hop]] : [])),
  )
  const lines = ['flowchart LR']
  for (const step of steps) if (!hops.has(step.step)) lines.push(`  ${id(step.step)}${shape(step)}`)
  for (const [name, hop] of readers)
    for (const input of hop.inputs) lines.push(`  ${id(input)} == "+1 commit" ==> ${id(name)}`)
  for (const step of steps) {
    if (!hops.has(step.step)) for (const input of step.inputs) lines.push(`  ${id(input)} --> ${id(step.step)}`)
  }
  return `${lines.join('\n')}\n`
}

export interface HopDescription {
  readonly topic: string
  readonly step: string
  readonly route: HopNode['route']
  readonly partitions: number
  readonly commits: 1
  readonly why: string
}

export function describeHops({ hops }: Pick<Described, 'hops'>): readonly HopDescription[] {
  return hops.map(({ topic, step, route, partitions }) => ({
    topic,
    step,
    route,
    partitions,
    commits: 1,
    why: whyOf[route](step),
  }))
}

const whyOf: Readonly<Record<HopNode['route'], (step: string) => string>> = {
  key: step => `+1 commit: to the slot that has the keys of '${step}'`,
  home: step => `+1 commit: back to the slot of the record, in the order of its partition, for '${step}'`,
  rekey: step => `+1 commit, for records of '${step}' only that lie in another partition than their key's`,
}

/** How many commits the longest way takes, records that must be re-keyed first aside. */
export function commitsOf({ steps }: Pick<Described, 'steps'>): number {
  const commits = new Map<string, number>()
  for (const node of steps) {
    const hop = node.kind === 'source' ? node.hop : undefined
    const before = Math.max(1, ...(hop?.inputs ?? inputsOf(node)).map(input => commits.get(input) ?? 1))
    commits.set(node.name, before + (hop !== undefined && hop.route !== 'rekey' ? 1 : 0))
  }
  return Math.max(...commits.values())
}

const id = (name: string): string => name.replaceAll(/[^a-zA-Z0-9]/g, '_')

function shape(step: StepDescription): string {
  const label = step.kind === 'source' || step.kind === 'sink' ? step.step : `${step.step}<br/><i>${step.kind}</i>`
  if (step.kind === 'source' || step.kind === 'sink') return `[("${label}")]`
  return step.features.length > 0 ? `[["${label}<br/>${step.features.length} features"]]` : `["${label}"]`
}
