import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { crc32, murmur2, positiveMurmur2, sha256Hex } from './index.js'

describe('murmur2', () => {
  // The vectors of Kafka's own UtilsTest.testMurmur2.
  const vectors: readonly (readonly [string, number])[] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ]
  for (const [text, hash] of vectors) {
    it(`of ${text} is ${hash}`, () => assert.equal(murmur2(Buffer.from(text)), hash))
  }

  it('takes bytes as unsigned, also in the tail', () => {
    // Recomputed with 64-bit integers, step by step as in the Java source.
    for (const hex of ['', 'ff', 'ffff', 'ffffff', 'ffffffff', '80ff00ff80', 'c3a9c3a8']) {
      const bytes = Buffer.from(hex, 'hex')
      assert.equal(murmur2(bytes), Number(BigInt.asIntN(32, referenceMurmur2(bytes))), hex)
    }
  })

  it('hashes a view of a larger buffer like a copy of it', () => {
    const whole = Buffer.from('xxabcyy')
    assert.equal(murmur2(whole.subarray(2, 5)), 479470107)
  })

  it('is positive for partitions by clearing the sign bit, not by abs', () => {
    assert.equal(positiveMurmur2(Buffer.from('21')), -973932308 & 0x7fffffff)
    assert.equal(positiveMurmur2(Buffer.from('abc')), 479470107)
  })
})

function referenceMurmur2(data: Uint8Array): bigint {
  const u32 = (n: bigint): bigint => BigInt.asUintN(32, n)
  const byte = (index: number): bigint => BigInt(data[index] ?? 0)
  const m = 0x5bd1e995n
  let h = 0x9747b28cn ^ BigInt(data.length)
  const whole = Math.floor(data.length / 4) * 4
  for (let at = 0; at < whole; at += 4) {
    let k = byte(at) + (byte(at + 1) << 8n) + (byte(at + 2) << 16n) + (byte(at + 3) << 24n)
    k = u32(k * m)
    k = u32((k ^ (k >> 24n)) * m)
    h = u32(h * m) ^ k
  }
  if (whole < data.length) {
    h = u32((h ^ byte(whole) ^ (byte(whole + 1) << 8n) ^ (byte(whole + 2) << 16n)) * m)
  }
  h = u32((h ^ (h >> 13n)) * m)
  return h ^ (h >> 15n)
}

describe('crc32', () => {
  it("gives the polynomial's check value", () => assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926))
  it('continues from a seed', () => {
    assert.equal(crc32(Buffer.from('6789'), crc32(Buffer.from('12345'))), 0xcbf43926)
  })
})

describe('sha256Hex', () => {
  it('gives the value of FIPS 180-2 for abc, as text and as bytes', () => {
    const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    assert.equal(sha256Hex('abc'), expected)
    assert.equal(sha256Hex(Buffer.from('abc')), expected)
  })
})
