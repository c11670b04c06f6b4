import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { shareMemory } from './index.js'

const mb = 1 << 20

describe('the memory budget', () => {
  for (const [budgetMb, slots, threads] of [
    [352, 1, 0],
    [1_024, 1, 0],
    [1_024, 3, 1],
    [4_096, 12, 4],
  ] as const) {
    it(`of ${budgetMb} MB holds ${slots} slots on ${threads} threads of their own, all that they may take`, () => {
      const { cacheBytesMax, dirtyBytesMax, backend } = shareMemory(budgetMb * mb, { slots, threads })
      const { blockCacheBytes, writeBufferBytes, openFilesMax } = backend
      assert.ok(dirtyBytesMax < cacheBytesMax && cacheBytesMax > 8 * mb)
      assert.ok(openFilesMax >= 14 && writeBufferBytes >= 2 * mb)
      const slot = 2.25 * cacheBytesMax + blockCacheBytes + 2 * writeBufferBytes + (openFilesMax - 10) * 2.5 * mb
      const whole = (288 + 128 * threads) * mb + slots * slot
      assert.ok(whole <= budgetMb * mb && whole > 0.85 * budgetMb * mb, `${whole / mb} MB of ${budgetMb}`)
    })
  }

  it('is USAGE when it is too little, and says how much it takes', () => {
    const refused = (budgetMb: number, slots: number, threads: number, least: RegExp) =>
      assert.throws(() => shareMemory(budgetMb * mb, { slots, threads }), { code: 'USAGE', message: least })
    refused(351, 1, 0, /memory\.budget is 351m; 1 slots need 352m/)
    refused(512, 8, 1, /8 slots need 928m/)
  })
})
