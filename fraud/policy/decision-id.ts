/**
 * Ids of decisions: the same transaction of the same customer of the same app always has the same decision_id, in every
 * run and on every machine.
 *
 * Each part stands behind its length, so that no two different triples give the same text.
 */
import { hash } from 'node:crypto'

const hexDigits = 32
/** Strings as Node 20 has them; the compiler's library stops at ES2023. */
type String2024 = string & { isWellFormed(): boolean }

/**
 * Names decisions of one app: the first 32 hexadecimal digits of SHA-256 over the three parts, in UTF-8 (in UTF-16LE
 * where there is a lone surrogate). `crypto.hash` takes 0.3 to 0.7 us, createHash 2.2 (measured on Node 20.20).
 */
export function decisionIds(app: string): (customerId: string, transactionId: string) => string {
  const prefix = `${app.length}:${app}`
  return (customerId, transactionId) => {
    const text = `${prefix}${customerId.length}:${customerId}${transactionId.length}:${transactionId}`
    // A surrogate without its partner has no UTF-8 form: all of them would become U+FFFD and collide.
    const input = (text as String2024).isWellFormed() ? text : Buffer.from(text, 'utf16le')
    return hash('sha256', input, 'hex').slice(0, hexDigits)
  }
}
