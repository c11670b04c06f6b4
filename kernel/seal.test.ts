import assert from 'node:assert/strict'
import { createCipheriv, createSecretKey } from 'node:crypto'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import { isWeirError } from './errors.js'
import { parseSealKeys, type SealKeys, seal, sealedWith, sealOverheadBytes, unseal } from './seal.js'

const hex = (byte: number): string => Buffer.alloc(32, byte).toString('hex')
const keysOf = (...bytes: number[]): SealKeys => parseSealKeys(bytes.map(hex).join('\n'), 'the test')
const text = (value: string): Buffer => Buffer.from(value)

const opened = async (keys: SealKeys, sealed: Uint8Array, context: string): Promise<string> => {
  const result = await unseal(keys, sealed, context)
  assert.equal(result.kind, 'opened')
  return result.bytes.toString()
}

describe('sealing', () => {
  const keys = keysOf(1)

  it('opens what it sealed, of any length', async () => {
    for (const length of [0, 1, 15, 16, 17, 4_096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 5]) {
      const bytes = Buffer.alloc(length)
      for (let i = 0; i < length; i += 7) bytes[i] = i
      const sealed = await seal(keys, bytes, 'a')
      assert.equal(sealed.length, length + sealOverheadBytes)
      const result = await unseal(keys, sealed, 'a')
      assert.ok(result.kind === 'opened' && result.bytes.equals(bytes), `${length} bytes`)
    }
  })

  it('hides the bytes, and never seals the same twice alike', async () => {
    const [one, two] = [await seal(keys, text('a secret value'), 'a'), await seal(keys, text('a secret value'), 'a')]
    assert.equal(one.includes('secret'), false)
    assert.equal(one.subarray(13).equals(two.subarray(13)), false)
    assert.equal(one.subarray(13, 25).equals(two.subarray(13, 25)), false, 'nonces')
  })

  it('is the format that its head states: another implementation reads and writes it', async () => {
    const nonce = Buffer.alloc(12, 9)
    const [keyId] = keys.keys()
    const head = Buffer.concat([text('WSEA'), Buffer.of(1), Buffer.from(keyId!, 'hex')])
    const cipher = createCipheriv('aes-256-gcm', createSecretKey(Buffer.alloc(32, 1)), nonce)
    cipher.setAAD(Buffer.concat([head, text('name')]))
    const body = Buffer.concat([cipher.update('value'), cipher.final()])
    const sealed = Buffer.concat([head, nonce, body, cipher.getAuthTag()])
    assert.equal(sealed.length, 5 + sealOverheadBytes)
    assert.equal(await opened(keys, sealed, 'name'), 'value')
  })

  it('finds every changed byte, every end that is missing, and bytes that follow', async () => {
    const sealed = await seal(keys, text('value'), 'a')
    for (let i = 0; i < sealed.length; i++) {
      const changed = Buffer.from(sealed)
      changed[i]! ^= 1
      const { kind } = await unseal(keys, changed, 'a')
      const expected = i < 4 ? 'not-sealed' : i === 4 ? 'newer-version' : i < 13 ? 'unknown-key' : 'corrupt'
      assert.equal(kind, expected, `byte ${i}`)
    }
    for (let length = 0; length < sealed.length; length++) {
      const { kind } = await unseal(keys, sealed.subarray(0, length), 'a')
      assert.equal(kind, length < 13 ? 'not-sealed' : 'corrupt', `${length} bytes`)
    }
    assert.equal((await unseal(keys, Buffer.concat([sealed, Buffer.of(0)]), 'a')).kind, 'corrupt')
  })

  it('finds a value in the place of another one', async () => {
    assert.equal((await unseal(keys, await seal(keys, text('value'), 'a'), 'b')).kind, 'corrupt')
  })

  it('opens what any of the keys sealed, and names the one that is missing', async () => {
    const old = await seal(keysOf(2), text('value'), 'a')
    assert.equal(await opened(keysOf(1, 2), old, 'a'), 'value')
    assert.deepEqual(await unseal(keys, old, 'a'), { kind: 'unknown-key', keyId: [...keysOf(2).keys()][0] })
    const renewed = await seal(keysOf(1, 2), text('value'), 'a')
    assert.equal(sealedWith(renewed), [...keys.keys()][0], 'the first key seals')
    assert.equal(sealedWith(text('not sealed at all')), undefined)
  })

  it('does not pass a key off as another one by its id', async () => {
    const sealed = await seal(keys, text('value'), 'a')
    sealed.write([...keysOf(2).keys()][0]!, 5, 'hex')
    assert.equal((await unseal(keysOf(1, 2), sealed, 'a')).kind, 'corrupt')
  })
})

describe('keys', () => {
  it('are hexadecimal or base64, with comments', () => {
    const bytes = Buffer.from(Array.from({ length: 32 }, (_, i) => i * 7))
    const ids = (value: string): string[] => [...parseSealKeys(value, 'x').keys()]
    const expected = ids(bytes.toString('hex'))
    assert.match(expected[0]!, /^[0-9a-f]{16}$/)
    for (const value of [
      bytes.toString('hex').toUpperCase(),
      bytes.toString('base64'),
      bytes.toString('base64url'),
      `# of 2026\n${bytes.toString('hex')} # the first\n`,
      `${bytes.toString('hex')},${bytes.toString('base64')}`,
    ]) {
      assert.deepEqual(ids(value), expected, value)
    }
    assert.deepEqual(ids(`${hex(1)}\n${hex(2)}`), [...keysOf(1, 2).keys()])
  })

  it('that cannot be used are refused without showing them', () => {
    const secret = 'correct-horse-battery-staple'
    for (const [value, why] of [
      ['', 'holds no key'],
      ['# nothing', 'holds no key'],
      [secret, 'key 1 of the setting is not 32 bytes'],
      [`${hex(1)} ${secret}`, 'key 2 of the setting is not 32 bytes'],
      [hex(7).slice(2), 'is not 32 bytes'],
      [`${hex(7)}00`, 'is not 32 bytes'],
      [Buffer.alloc(31, 7).toString('base64'), 'is not 32 bytes'],
      [Array.from({ length: 17 }, (_, i) => hex(i)).join(), 'holds 17 keys'],
    ] as const) {
      assert.throws(
        () => parseSealKeys(value, 'the setting'),
        error => {
          assert.ok(isWeirError(error, 'INVALID_KEYS') && error.message.includes(why), String(error))
          assert.equal(inspect(error, { depth: 9 }).includes(secret), false)
          return true
        },
      )
    }
  })

  it('are not shown when they are printed', () => {
    const key = 'ab'.repeat(32)
    assert.equal(inspect(parseSealKeys(key, 'x'), { depth: 9, showHidden: true }).includes('abab'), false)
  })
})
