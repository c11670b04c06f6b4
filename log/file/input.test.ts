import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { isWeirError, millis } from '../../kernel/index.js'
import { offset } from '../port.js'
import { type InputOptions, InputReader, readHeader } from './input.js'

const directory = mkdtempSync(join(tmpdir(), 'weir-input-'))
after(() => rmSync(directory, { recursive: true }))

let files = 0
function file(bytes: string | Buffer, suffix = '.csv'): string {
  const path = join(directory, `${files++}${suffix}`)
  writeFileSync(path, bytes)
  return path
}

const options = (path: string, more: Partial<InputOptions> = {}): InputOptions => ({
  path,
  topic: 'transactions',
  hasHeader: false,
  ...more,
})

interface Read {
  readonly values: string[]
  readonly error: unknown
}

/** Everything that comes, and the error that ends it. */
async function readAll(reader: InputReader, recordsMax = 7, bytesMax = 1 << 20): Promise<Read> {
  const values: string[] = []
  try {
    for (;;) {
      const batches = await reader.poll({ recordsMax, bytesMax, waitMsMax: millis(0) })
      if (batches.length === 0) {
        assert.ok(reader.finished)
        return { values, error: undefined }
      }
      for (const batch of batches) {
        assert.equal(Number(batch.baseOffset), values.length)
        assert.ok(batch.count <= recordsMax)
        for (let i = 0; i < batch.count; i++) {
          assert.equal(batch.offsetDelta[i], i)
          assert.equal(batch.keyStart[i], -1)
          values.push(batch.bytes.toString('latin1', batch.valueStart[i], batch.valueEnd[i]))
        }
        assert.equal(Number(batch.nextOffset), values.length)
      }
    }
  } catch (error) {
    return { values, error }
  } finally {
    await reader.close()
  }
}

const read = (path: string, more?: Partial<InputOptions>): Promise<Read> =>
  readAll(new InputReader(options(path, more), offset(0)))

function damaged(result: Read, message: RegExp): void {
  assert.ok(isWeirError(result.error, 'INPUT_UNREADABLE'), String(result.error))
  assert.match(result.error.message, message)
}

test('lines end with \\n or \\r\\n, blank lines are lines, the last needs no end', async () => {
  assert.deepEqual((await read(file('a\r\n\n b\r\n\r\nc'))).values, ['a', '', ' b', '', 'c'])
  assert.deepEqual((await read(file('a\n'))).values, ['a'])
  assert.deepEqual((await read(file('a\rb\n'))).values, ['a\rb'])
  assert.deepEqual((await read(file('\n'))).values, [''])
  assert.deepEqual((await read(file(''))).values, [])
})

test('a byte order mark belongs to no line', async () => {
  const path = file('\ufeffid,x\n1,2\n')
  assert.equal((await readHeader(options(path, { hasHeader: true }))).header, 'id,x')
  assert.deepEqual((await read(path, { hasHeader: true })).values, ['1,2'])
  assert.deepEqual((await read(file('\ufeff{}'), { chunkBytes: 1 })).values, ['{}'])
})

test('any chunks and limits give the lines of split, plain and gzipped', async () => {
  const text = fc.array(fc.constantFrom('', 'a', 'bc', 'x'.repeat(40), '\n', '\r\n', '\n\n'), { maxLength: 40 })
  await fc.assert(
    fc.asyncProperty(
      text.map(parts => parts.join('')),
      fc.integer({ min: 1, max: 70 }),
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 100 }),
      fc.boolean(),
      async (content, chunkBytes, recordsMax, bytesMax, zipped) => {
        const path = file(zipped ? gzipSync(content) : content)
        const lines = content.split('\n')
        if (lines.at(-1) === '') lines.pop()
        const expected = lines.map(line => line.replace(/\r$/, ''))
        const reader = new InputReader(options(path, { chunkBytes }), offset(0))
        assert.deepEqual(await readAll(reader, recordsMax, bytesMax), { values: expected, error: undefined })
      },
    ),
    { numRuns: 150 },
  )
})

test('of a line beyond the bound one byte more is handed out, and the rest is counted through', async () => {
  const big = 'x'.repeat(10 << 20)
  const { values } = await read(
    file(`a\n${big}\nb\n${'y'.repeat(65_536)}\r\n${'z'.repeat(65_537)}\n${'w'.repeat(65_536)}\rw\nc`),
  )
  assert.deepEqual(
    values.map(value => value.length),
    [1, 65_537, 1, 65_536, 65_537, 65_537, 1],
  )
  assert.deepEqual((await read(file(big))).values, ['x'.repeat(65_537)])
  assert.equal((await read(file(`${big}\nend`, '.csv'), { chunkBytes: 1_000 })).values[1], 'end')
})

test('a batch keeps within its bytes', async () => {
  const reader = new InputReader(options(file('aaaa\nbbbb\ncccc\n')), offset(0))
  const [batch] = await reader.poll({ recordsMax: 10, bytesMax: 10, waitMsMax: millis(0) })
  assert.equal(batch!.count, 2)
  await reader.close()
})

test('gzip is found by its bytes or its name, and may have several members and padding', async () => {
  const bytes = Buffer.concat([gzipSync('a\nb'), gzipSync('c\nd\n'), gzipSync(''), Buffer.alloc(600)])
  assert.deepEqual((await read(file(bytes, '.data'))).values, ['a', 'bc', 'd'])
  assert.deepEqual((await read(file(bytes, '.gz'), { chunkBytes: 1 })).values, ['a', 'bc', 'd'])
})

const rows = Array.from({ length: 5_000 }, (_, i) => `${i},${(i * 7_919) % 1_000_003}`)
const zipped = gzipSync(`${rows.join('\n')}\n`)

test('a truncated gzip says so after the rows before the cut, wherever it is cut', async () => {
  for (const cut of [0, 1, 5, 9, 10, 11, 500, 20_000, zipped.length - 9, zipped.length - 8, zipped.length - 1]) {
    const result = await read(file(zipped.subarray(0, cut), '.csv.gz'))
    damaged(result, /truncated gzip/)
    assert.deepEqual(result.values, rows.slice(0, result.values.length))
    if (cut === 500) assert.ok(result.values.length > 20)
    if (cut > zipped.length - 10) assert.equal(result.values.length, rows.length)
  }
})

test('garbage after the data, a wrong checksum, a damaged stream, and what is no gzip', async () => {
  const whole = async (bytes: Buffer, message: RegExp): Promise<void> => {
    const result = await read(file(bytes, '.gz'))
    damaged(result, message)
    assert.deepEqual(result.values, rows)
  }
  await whole(Buffer.concat([zipped, Buffer.from('garbage')]), /follows the compressed data/)
  await whole(Buffer.concat([zipped, Buffer.from([0x1f])]), /follows the compressed data/)
  await whole(Buffer.concat([zipped, Buffer.from([0x1f, 0x8b, 9, 9])]), /follows the compressed data/)
  await whole(Buffer.concat([zipped, Buffer.alloc(20), Buffer.from([1])]), /follows the compressed data/)
  const checksum = Buffer.from(zipped)
  checksum[checksum.length - 8]! ^= 1
  await whole(checksum, /checksum/)
  const length = Buffer.from(zipped)
  length[length.length - 1]! ^= 1
  await whole(length, /length/)
  const middle = Buffer.from(zipped)
  middle.fill(0xff, 18_000, 18_050)
  const result = await read(file(middle, '.gz'))
  damaged(result, /damaged/)
  damaged(await read(file('a,b\n1,2\n', '.csv.gz')), /no gzip/)
  assert.ok(result.values.length < rows.length)
})

test('files that cannot be read', async () => {
  damaged(await read(join(directory, 'absent')), /ENOENT/)
  mkdirSync(join(directory, 'folder'))
  damaged(await read(join(directory, 'folder')), /not a regular file/)
  const header = (bytes: string | Buffer): Promise<unknown> => readHeader(options(file(bytes), { hasHeader: true }))
  await assert.rejects(header(''), error => isWeirError(error, 'INPUT_UNREADABLE') && /empty/.test(error.message))
  await assert.rejects(header('x'.repeat(70_000)), error => isWeirError(error, 'INPUT_UNREADABLE'))
  await assert.rejects(header(Buffer.from([0xff, 10])), error => isWeirError(error, 'INPUT_UNREADABLE'))
})

test('seek goes forward, back, and to the end, and not beyond it', async () => {
  const lines = rows.map(row => `${row}\n`).join('')
  for (const path of [file(`header\n${lines}`), file(gzipSync(`header\n${lines}`))]) {
    const reader = new InputReader(options(path, { hasHeader: true }), offset(4_000))
    const one = async (): Promise<string | undefined> => {
      const [batch] = await reader.poll({ recordsMax: 1, bytesMax: 100, waitMsMax: millis(0) })
      return batch?.bytes.toString('latin1', batch.valueStart[0], batch.valueEnd[0])
    }
    const to = (at: number): void => reader.seek({ topic: 'transactions', partition: 0, offset: offset(at) })
    assert.equal(await one(), rows[4_000])
    assert.equal(await one(), rows[4_001])
    to(3)
    assert.equal(reader.finished, false)
    assert.equal(await one(), rows[3])
    to(4_999)
    assert.equal(await one(), rows[4_999])
    assert.equal(await one(), undefined)
    assert.ok(reader.finished)
    to(0)
    assert.equal(await one(), rows[0])
    to(5_000)
    assert.equal(await one(), undefined)
    assert.equal(Number(reader.positions()[0]!.offset), 5_000)
    to(5_001)
    await assert.rejects(one(), error => isWeirError(error, 'OFFSET_OUT_OF_RANGE'))
    await reader.close()
  }
})
