/** What the tests of the S3 store share. */
import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { isWeirError } from '../../../../kernel/index.js'

/** Fails with the code, and shows none of the secrets, however it is looked at. @returns what its error says */
export async function refusedWithout(
  secrets: readonly string[],
  work: Promise<unknown>,
  code = 'CHECKPOINT_STORE_FAILED',
): Promise<string> {
  const error = await work.then(
    () => assert.fail('it should fail'),
    reason => reason,
  )
  assert.ok(isWeirError(error), inspect(error))
  assert.equal(error.code, code)
  const shown = inspect(error, { depth: 9, showHidden: true })
  for (const secret of secrets) assert.equal(shown.includes(secret), false, shown)
  return error.what
}
