/**
 * Card numbers never get past the border: a card_id becomes a token before anything sees it, and texts for people
 * (dead letters, logs) are masked.
 */
import { createHmac } from 'node:crypto'

const ZERO = 48

/** True when the text's decimal digits (others are passed over) pass the Luhn check (ISO/IEC 7812-1, annex B). */
export function passesLuhn(text: string): boolean {
  let sum = 0
  let digits = 0
  for (let i = text.length - 1; i >= 0; i--) {
    let digit = text.charCodeAt(i) - ZERO
    if (digit < 0 || digit > 9) continue
    if (digits % 2 === 1) {
      digit *= 2
      if (digit > 9) digit -= 9
    }
    sum += digit
    digits++
  }
  return digits > 0 && sum % 10 === 0
}

/** Digits of a card number, with single spaces or dashes between, 8 to 19 of them (ISO/IEC 7812-1). */
const cardNumber = /^\d(?:[ -]?\d){7,18}$/

/**
 * A function that leaves identifiers alone and turns card numbers into `tok_` and 24 hexadecimal digits: the HMAC-SHA256
 * of the digits, so that every spelling of a card gives one token, and nobody without the key can try numbers out.
 */
export function cardTokeniser(key: string | Uint8Array): (cardId: string) => string {
  return cardId => {
    if (!cardNumber.test(cardId) || !passesLuhn(cardId)) return cardId
    const digits = cardId.replace(/[ -]/g, '')
    return `tok_${createHmac('sha256', key).update(digits).digest('hex').slice(0, 24)}`
  }
}

const maskDigitsMin = 13
const maskDigitsMax = 19
/** Groups of digits with single spaces or dashes between them, 13 digits at least in all. */
const digitRun = /\d+(?:[ -]\d+)*/g

/**
 * The text with every card number masked but for its last four digits. A card number is 13 to 19 digits, in one group or
 * several with single spaces or dashes between, that pass Luhn; it begins and ends where a group does.
 */
export function maskCards(text: string): string {
  return text.replace(digitRun, run => (run.length < maskDigitsMin ? run : maskRun(run)))
}

function maskRun(run: string): string {
  const groups = run.split(/([ -])/)
  for (let first = 0; first < groups.length; first += 2) {
    let digits = 0
    let last = -1
    for (let end = first; end < groups.length && digits < maskDigitsMax; end += 2) {
      digits += groups[end]!.length
      if (digits < maskDigitsMin || digits > maskDigitsMax) continue
      if (passesLuhn(groups.slice(first, end + 1).join(''))) last = end
    }
    if (last < 0) continue
    let shown = 4
    for (let at = last; at >= first; at -= 2) {
      const group = groups[at]!
      const keep = Math.min(shown, group.length)
      groups[at] = '*'.repeat(group.length - keep) + group.slice(group.length - keep)
      shown -= keep
    }
    first = last
  }
  return groups.join('')
}
