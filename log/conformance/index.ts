import type { LogUnderTest } from './harness.js'
import { positionTests } from './positions.js'
import { randomTests } from './random.js'
import { readingTests } from './reading.js'
import { suite } from './suite.js'
import { transactionTests } from './transactions.js'

export type { LogFeature, LogUnderTest, OpenTransaction } from './harness.js'

/** Registers the tests that every implementation of the log port passes. `makeLog` makes a fresh, empty log. */
export function logConformance(name: string, makeLog: () => Promise<LogUnderTest>): void {
  suite(`${name}: records`, makeLog, readingTests)
  suite(`${name}: positions`, makeLog, positionTests)
  suite(`${name}: transactions`, makeLog, transactionTests)
  suite(`${name}: random operations`, makeLog, randomTests)
}
