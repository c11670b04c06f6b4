/**
 * The two lists of a decision that are empty for most: reasons and rule hits, as members of its JSON.
 *
 * The caller has reserved `reasonsBytesMax` and `hitsBytesMax`.
 */
import type { ReasonCode, RuleHit } from '../../schemas/avro/index.js'
import { fragment, type JsonWriter, textBytesMax } from './json-writer.js'

const comma = 0x2c
const closeObject = 0x7d
const closeList = 0x5d

const noReasons = fragment(',"reason_codes":[]')
const openReasons = fragment(',"reason_codes":[')
const openCode = fragment('{"code":')
const textField = fragment(',"text":')
const featureField = fragment(',"feature":')
const valueField = fragment(',"value":')
const impactField = fragment(',"impact":')
const nullValue = fragment('null')
const noHits = fragment(',"rule_hits":[]')
const openHits = fragment(',"rule_hits":[')
const openRuleId = fragment('{"rule_id":')
const versionField = fragment(',"version":')
const outcomeField = fragment(',"outcome":')
const suppressedTrue = fragment(',"suppressed":true')
const suppressedFalse = fragment(',"suppressed":false')
const errorField = fragment(',"error":')

/** More than the fixed names, words and numbers of one entry, and than an empty list. */
const entryBytes = 128

export function reasonsBytesMax(reasons: readonly ReasonCode[]): number {
  let sum = entryBytes
  for (let i = 0; i < reasons.length; i++) {
    const { code, text, feature } = reasons[i]!
    sum += entryBytes + textBytesMax(code) + textBytesMax(text) + textBytesMax(feature ?? '')
  }
  return sum
}

export function hitsBytesMax(hits: readonly RuleHit[]): number {
  let sum = entryBytes
  for (let i = 0; i < hits.length; i++) {
    const { rule_id, error } = hits[i]!
    sum += entryBytes + textBytesMax(rule_id) + textBytesMax(error ?? '')
  }
  return sum
}

export function writeReasons(writer: JsonWriter, reasons: readonly ReasonCode[]): void {
  if (reasons.length === 0) {
    writer.raw(noReasons)
    return
  }
  writer.raw(openReasons)
  for (let i = 0; i < reasons.length; i++) {
    const { code, text, feature, value, impact } = reasons[i]!
    if (i > 0) writer.byte(comma)
    writer.raw(openCode)
    writer.text(code)
    writer.raw(textField)
    writer.text(text)
    writer.raw(featureField)
    if (feature === null) writer.raw(nullValue)
    else writer.text(feature)
    writer.raw(valueField)
    numberOrNull(writer, value)
    writer.raw(impactField)
    numberOrNull(writer, impact)
    writer.byte(closeObject)
  }
  writer.byte(closeList)
}

function numberOrNull(writer: JsonWriter, value: number | null): void {
  if (value === null) writer.raw(nullValue)
  else writer.number(value)
}

export function writeHits(writer: JsonWriter, hits: readonly RuleHit[]): void {
  if (hits.length === 0) {
    writer.raw(noHits)
    return
  }
  writer.raw(openHits)
  for (let i = 0; i < hits.length; i++) {
    const { rule_id, version, outcome, suppressed, error } = hits[i]!
    if (i > 0) writer.byte(comma)
    writer.raw(openRuleId)
    writer.text(rule_id)
    writer.raw(versionField)
    writer.number(version)
    writer.raw(outcomeField)
    writer.text(outcome)
    writer.raw(suppressed ? suppressedTrue : suppressedFalse)
    if (error !== null) {
      writer.raw(errorField)
      writer.text(error)
    }
    writer.byte(closeObject)
  }
  writer.byte(closeList)
}
