/** A decision as a caller asked for it. The line of JSON is sent as it is whenever it can be. */
import type { Shape } from './parameters.js'
import type { DecisionJson } from './ports.js'

/** @param explain the decision in words */
export function decisionBody(
  line: DecisionJson,
  shape: Shape,
  explain: (line: DecisionJson) => string,
): Buffer | string {
  if (shape.includeFeatures && !shape.includeExplanation) return line
  const decision = JSON.parse(line.toString()) as Record<string, unknown>
  if (!shape.includeFeatures) delete decision.features
  if (shape.includeExplanation) decision.explanation = explain(line)
  return JSON.stringify(decision)
}
