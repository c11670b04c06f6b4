import { isDeepStrictEqual } from 'node:util'
import { AssertionError } from '../../kernel/index.js'
import type { VerifiedRow } from './run.js'

/** @throws AssertionError naming the way and the first row that differs */
export function compare(way: string, actual: readonly VerifiedRow[], expected: readonly VerifiedRow[]): void {
  const length = Math.max(expected.length, actual.length)
  for (let i = 0; i < length; i++) {
    if (isDeepStrictEqual(expected[i], actual[i])) continue
    throw new AssertionError(`${way}: row ${i} is ${show(actual[i])}, but straight ${show(expected[i])}`)
  }
}

const show = (row: VerifiedRow | undefined): string =>
  row === undefined ? 'missing' : JSON.stringify(row, (_, value) => (typeof value === 'bigint' ? String(value) : value))
