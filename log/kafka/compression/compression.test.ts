import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import { isWeirError } from '../../../kernel/index.js'
import { decompress, TooLong } from './index.js'
import { lz4 } from './lz4.js'
import { snappy } from './snappy.js'
import { zstd } from './zstd.js'

const bytesMax = 1 << 20
const line = (i: number): string =>
  `${JSON.stringify({ id: `t${(i * 7_919) % 1_000}`, amount: (i * i) % 977, customer: `c${i % 11}` })}\n`
const plain = Buffer.from(Array.from({ length: 120 }, (_, i) => line(i)).join(''))

/** `plain` by the tools of each codec. */
const compressed = {
  'zstd -1':
    'KLUv/QRIlRYA5mZRGJC50AGrjGpQSb/5/xCJlEmmlOSGzN0KXFcARABFALK2SjqItOGmr1DqKaKMLeMV01mbIZm9tU6GjG1s1Gq0C3XEfJXsDDtbXO5sPqz7UiJttTIsHIbikDgcCBAYLBASFAfESBwWBQkGBAAHxGEsDolDwMBBIfTP0Ezt8lt2mBttqc162W2Wa1g5fa7TqUwdr88pM+bjkj+VqhRZo1Bltvoqu/A0OkWlul/yDJ23fNRPEecltyfmSqUFNb+Q2WFJD7FwYyYiQjM4p5ZGL0Urv1QlNPO4KvUGSdNWuVRn3q3no/mizYiKztVrRt2ezhMhK4M0kughnQ7XUyNjj9MphoVDkUqSej721CXnlGQISe3lwbG9SkzjfLt5PW+RbnIupcExahzVRlPDjlo5xWM6RNOnHSo9LREZ21YfJafB03WbNMRNJoFaqGF0zve/A+HGiAiOGxGcELQ1Sna9OsD5QjWK7VNfEAib01725BeElFHU+4Wr+gAvipB/oVJYibRSpsiVKBL+7W5tS/MuJhwC2hlcAIlfQFTpptr+C5S9AIS9VVp23yiAzFwwIpn2b0HDg/G9nWz7+noEbrTsxtK8wTAw4W36Ot6Fw3HB+7mOGdPs/J1Hr6ttWFZqf9DXgTFYNdkmwtziywIYPRuOLE6uDTwI7MpM3S5xuS25RdFpFI5MH2Q7maIs1xvUFn9ltC3UJ0GmpwHzAJ+rL3u8WZ/PTJpusuOaLRcH+HY1wZgGCixRyZ8bi3ke02BKoKZXLn6Sn7F9QgsbrK7m7zLFkjImwQ7kA0Ri1WSbESH7Xgt3nllq79oFdxXLAJ/IYaqaJ3KNBAF24jIsik1GMBXamFcVAfdAgaNMMhB3kAzEHbCsK7FJ8ctO2MbuhpsvVnELNsVhbDxzd9Cq2AUroD9AZxxXfZoXaU5fU8ulUSvk0U3LZzjqgGmO6zrYt2BPEV0BTxXoIhya',
  'zstd -19':
    'KLUv/QRonREABu9eGaC3MBwuECFCXBHT/n8FSVKmlKQEevdwKgZlAFIAUQDuLqUZizUZ+csjGDU1z0yijLB+yYjrCoNYkRaNP7vkHvEjV6Iw2WOxiMX31UiKlg6dM7SHayt96Zk8p5KwprbvABIMcTAYDAYGICQoHFg4GArCYFAosJCAEGAoGEJhMBgEEBgQBL7Fb4uCKkpVRETfZbPRl8gNoyNbK/OJR5JRO+89FCpaT0X1FoNOphGHyWTHKpkip3zmG1ZR6p1mimwkQ6zg/BcjHtSxVrNIhi40K5P5qrh0UwP9qeWUa7rRxF+USMRVnd8f1jSkp1lYRKRMHtNeZD1Ilddek6T6pTx3p3QxM62NHsm56lCLZE2bDlXNq5lesxc9Tm9vB9eJzFBiajM1DaHJl5VTnMcUIbeRtsQwpS33YlOZWCFVcnpvmjh1o9EuFQmamRc5FknP29RPUc1xDW34VYxEfLP6VuJ7Hm6EFJGRxgxdM1NkFl1szYtZEqPGdmpcqGJoAoEWqCEsx+9/B0FnZB0RnBBURimUePgGoURUjFMVG/F57IwZf0ZHUmTfvWOLcxWlJFSZLEJsuQ0x2sJTe4PZzkQlHmRM2LBdLfvS3z04WcRJsEoQYyDMNrJ7d1RMgo+0IE7bZbY98qPsi4HV3MrQCd0x+0yzNqt0npVIw7ozCPYIMbpb5ja7leqV2mNhYJvcttwRu8IN2QvdBNmuDMAfzTEnFwgWdkggtoaWWBuMhsP8Cl4BVBXoIhya',
  'lz4 -9':
    'BCJNGGRApyIFAAD0GHsiaWQiOiJ0MCIsImFtb3VudCI6MCwiY3VzdG9tZXIiOiJjMCJ9CicANzkxOSkAGjEpABcxKQA3ODM4KQAaNCkAFzIpADc3NTcpABo5KQAXMykAODY3NnsAGjYqABc0KgA3NTk1KgAqMjUqABg1KgAnMTQqABszVAAXNioAODQzM9AAC6gAFzcqADczNTIqABs2+wAXOCoANzI3MSoAGzhOARc5KgAoMTmgASsxMKIBGDGjASkxMKMBLzIxzgEHGDKkAT8xNDTPAQc5OTQ3fQEfOdEBByk4NqgBLzk20wEHKTc4qQEvMjXUAQc5NzA01AEfNtUBByg2MqsBPzI4OdYBByg1NKwBPzMyNNcBBzk0NjErAh8x2AEHKDM4rgE/NDAw2QEHKDI5rQE/NDQx2QEIKTIxUwMvODTZAQcoMTOvAT81MjnaAQcYNa4BPzU3NtkBByg5N64BPzYyNdkBByg4Oa4BLzY3rQMIKDgxrgE/NzI52QEHKDczrgE/Nzg02QEHKTY1WwMvNDHZAQcoNTeuAT85MDDZAQcoNDiuAS85NrIDCCk0MK0BHzfYAQgpMzJcAy8xMrEDCBk0XAMfN9gBCCkxNlwDLzQ4sgMICQUFHzGEBQgIqwE/Mzky1gEHKDkyqwE/NDY31gEHKDg0qwEvNTTWAQg5NzYwggIfM9YBByg2N6sBLzcwhwUIOTU5OFcCHzfWAQcoNTGrAT84NzLXAQgoNDOsAT85NTnXAQcoMzWsAR83VwcIOTI3NIgFHzLWAQcpMTkHBR81rwMIKTExBwUvNTDZAQcpMzGwBA/YAQg5OTUw2AEPXQcIOTg2OTMHHzfYAQcpNzitAR81rgMIKTcwrQEvNTXYAQcpNjKsAR822AEJKDU0rQEfOYYFCCk0NrQGLzA12AEHKTM4WwMfMa4DCCkzMFsDLzMz2AEHKTIyWwMP2AEJKTE0WwMfNocFCBk1WgMvOTDYAQcoOTetAS85MbADCCg4Oa0BD14HCSk4MQQFLzg41wEHOTczNVYBD4YFCTk2NTTaAh842AEHKDU3rQEvNTiwAwgpNDmzBh8xXwcIKTQxswYfNdgBCCkzMw8KDzcJCCkyNA0KDzcJCSgxNq0BLzI5NwkIKTg3KwEPNgkICV0IHznWAQgpOTIDBR80NAkIKDg0qgEvODk0CQkoNzarAS82N9UBBzk2ODKMCh8y1QEHKTYwCwofNw0LCCk1MgUFLzM41QEHKTQzBQUvOTmFBQgYNasBPzg2MtYBBykyNwoKD60DCCgxOa0BLzIxhQUIKTExWAMvODYMCwgZNIIED1wHCCk5NQkKHzPkDAk5ODcytAkfNdgBBzk3OTE7DQ+FBQg5NzEwOQwPtg4IKTYyuAsfNl0HCDk1NDjdBh842AEHKTQ2sgYvMzPYAQc5Mzg2BgYP2AEHKTMwCQovMzLYAQcpMjIEBS8yM9gBBykxNFkDLzE2XQcJCeYOD68DCSk5OFoDD7sOCCk5MKwBLzMwixAICbQQPzQzMY0QCAm2ED82MzSPEAgaNawBD68DCBk1uhAPWwcJGjS6EC83OJEQCAm7EC80OJIQCQm8ED83MDKTEAgJvRAvOTGwAwgZMb4QPzE1N9gBCRkwMQUfNtgBCAkxBh83khAICb0QPzgyMOAMCQlcCA+EBQgZN7wQLzI5WgcIGTa8ED81MjSREAgJvBA/NzU1kRAICbwQHzG3DggZNLsQLzI0hAUJCbsQKjQ41wNQYzkifQoAAAAAu1ppkA==',
}

/** Literal, copies with one, two and four bytes of distance, one that reaches into what it writes. */
const raw = Buffer.from([
  ...[30, 4 << 2],
  ...Buffer.from('abcde'),
  ...[((4 - 4) << 2) | 1, 5],
  ...[((5 - 1) << 2) | 2, 4, 0],
  ...[((6 - 1) << 2) | 3, 9, 0, 0, 0],
  ...[((10 - 1) << 2) | 2, 1, 0],
])
const unpacked = 'abcdeabcdabcdaabcdabbbbbbbbbbb'

describe('decompression', () => {
  for (const [tool, base64] of Object.entries(compressed)) {
    const decoder = tool.startsWith('zstd') ? zstd : lz4
    const bytes = Buffer.from(base64, 'base64')

    it(`reads what ${tool} wrote`, () => assert.deepEqual(decoder(bytes, bytesMax), plain))

    it(`bounds what ${tool} may become`, () => {
      assert.throws(() => decoder(bytes, plain.length - 1), TooLong)
      assert.deepEqual(decoder(bytes, plain.length), plain)
    })

    it(`survives damage to what ${tool} wrote`, () => {
      for (let i = 4; i < bytes.length; i++) {
        const damaged = Buffer.from(bytes)
        damaged[i]! ^= 0x55
        outcome(() => decoder(damaged, bytesMax))
        // Checksums at the end, which are not looked at, may be missing.
        if (i < bytes.length - 8) outcome(() => decoder(bytes.subarray(0, i), bytesMax), plain)
      }
    })
  }

  it('reads snappy, alone and in the framing of the Java library', () => {
    assert.equal(snappy(raw, bytesMax).toString(), unpacked)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(raw.length)
    const header = Buffer.from([0x82, ...Buffer.from('SNAPPY'), 0, 0, 0, 0, 1, 0, 0, 0, 1])
    const framed = Buffer.concat([header, length, raw, length, raw])
    assert.equal(snappy(framed, bytesMax).toString(), unpacked + unpacked)
    assert.throws(() => snappy(framed, 2 * unpacked.length - 1), RangeError)
    for (let i = 1; i < raw.length; i++) outcome(() => snappy(raw.subarray(0, i), bytesMax), Buffer.from(unpacked))
    for (let i = 0; i < raw.length; i++) {
      const damaged = Buffer.from(raw)
      damaged[i]! ^= 0x55
      outcome(() => snappy(damaged, bytesMax))
    }
  })

  it('reads gzip within the bound, and knows the codecs by number', () => {
    const bytes = gzipSync(plain)
    assert.deepEqual(decompress(1, bytes, bytesMax), plain)
    assert.throws(() => decompress(1, bytes, 100), TooLong)
    assert.throws(
      () => decompress(1, bytes.subarray(0, 50), bytesMax),
      error => error instanceof RangeError && !(error instanceof TooLong),
    )
    assert.equal(decompress(2, raw, bytesMax).toString(), unpacked)
    assert.deepEqual(decompress(3, Buffer.from(compressed['lz4 -9'], 'base64'), bytesMax), plain)
    assert.deepEqual(decompress(4, Buffer.from(compressed['zstd -1'], 'base64'), bytesMax), plain)
    assert.throws(
      () => decompress(7, bytes, bytesMax),
      error => isWeirError(error, 'KAFKA_UNSUPPORTED'),
    )
  })
})

/** Damage gives a RangeError or other bytes, nothing else; what is cut off never gives all. */
function outcome(decode: () => Buffer, whole?: Buffer): void {
  let bytes: Buffer
  try {
    bytes = decode()
  } catch (error) {
    assert.ok(error instanceof RangeError, `${error}`)
    return
  }
  assert.ok(bytes.length <= bytesMax)
  if (whole !== undefined) assert.ok(!bytes.equals(whole))
}
