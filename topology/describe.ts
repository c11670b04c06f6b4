/** A topology for people: text or mermaid. */

import type { Graph } from './graph.js'
import { describeGraph, type StepDescription } from './plan.js'

export function describeText(graph: Graph): string {
  const lines = [`topology ${graph.app}`]
  for (const step of describeGraph(graph)) {
    lines.push(
      `  ${step.step.padEnd(20)} ${step.kind.padEnd(10)} ${step.inputs.length ? `<- ${step.inputs.join(', ')}` : ''}`.trimEnd(),
    )
    for (const feature of step.features) lines.push(`  ${''.padEnd(20)}   ${feature}`)
  }
  return `${lines.join('\n')}\n`
}

export function describeMermaid(graph: Graph): string {
  const steps = describeGraph(graph)
  const lines = ['flowchart LR']
  for (const step of steps) lines.push(`  ${id(step.step)}${shape(step)}`)
  for (const step of steps) for (const input of step.inputs) lines.push(`  ${id(input)} --> ${id(step.step)}`)
  return `${lines.join('\n')}\n`
}

const id = (name: string): string => name.replaceAll('-', '_')

function shape(step: StepDescription): string {
  const label = step.kind === 'source' || step.kind === 'sink' ? step.step : `${step.step}<br/><i>${step.kind}</i>`
  if (step.kind === 'source' || step.kind === 'sink') return `[("${label}")]`
  return step.features.length > 0 ? `[["${label}<br/>${step.features.length} features"]]` : `["${label}"]`
}
