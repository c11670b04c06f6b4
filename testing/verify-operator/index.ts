/**
 * `verifyOperator`: runs an operator in every way in which the engine may run it, and compares (after Hazelcast Jet's
 * TestSupport). What must not show in the output:
 * 1. how records are cut into epochs: all at once, or one by one;
 * 2. a full output: every other push is refused, and the call made again;
 * 3. restarts: state written, the instance thrown away, another one opened on what was stored, between any two records;
 * 4. a cache too small to hold anything: every record meets state misses.
 */
import { MemoryDisk } from '../../state/index.js'
import { compare } from './compare.js'
import { run, straight, type VerifiedRow, type VerifyOptions, variants } from './run.js'

export { type EvolutionOptions, verifyEvolution } from './evolution.js'
export type { VerifiedRow, VerifyItem, VerifyOptions } from './run.js'

/**
 * @returns what came out when all items ran in as few epochs as the watermarks allow
 * @throws AssertionError naming the variant and the first row that differs
 */
export async function verifyOperator(options: VerifyOptions): Promise<readonly VerifiedRow[]> {
  const expected = await run(options, straight, new MemoryDisk())
  for (const variant of variants) {
    compare(variant.name, await run(options, variant, new MemoryDisk()), expected)
  }
  return expected
}
