/**
 * Decompression of record batches. Our own decoders bound what they write, whatever the bytes say (I6); gzip, and zstd
 * where Node has it, are Node's.
 */
import zlib from 'node:zlib'
import { messageOf, WeirError } from '../../../kernel/index.js'
import { lz4 } from './lz4.js'
import { snappy } from './snappy.js'
import { TooLong } from './too-long.js'
import { zstd } from './zstd.js'

export { TooLong } from './too-long.js'

/**
 * @param codec as in a batch's attributes: 1 gzip, 2 snappy, 3 lz4, 4 zstd
 * @throws TooLong when the bytes become more than `bytesMax`, RangeError when they are damaged; WeirError KAFKA_UNSUPPORTED
 */
export function decompress(codec: number, bytes: Buffer, bytesMax: number): Buffer {
  switch (codec) {
    case 1:
      return native(() => zlib.gunzipSync(bytes, { maxOutputLength: bytesMax }))
    case 2:
      return snappy(bytes, bytesMax)
    case 3:
      return lz4(bytes, bytesMax)
    case 4:
      return nativeZstd === undefined
        ? zstd(bytes, bytesMax)
        : native(() => nativeZstd(bytes, { maxOutputLength: bytesMax }))
    default:
      throw new WeirError('KAFKA_UNSUPPORTED', `compression ${codec} is unknown`)
  }
}

/** Node 22.15 and later. */
const nativeZstd = (zlib as { zstdDecompressSync?: (bytes: Buffer, options: { maxOutputLength: number }) => Buffer })
  .zstdDecompressSync

function native(run: () => Buffer): Buffer {
  try {
    return run()
  } catch (error) {
    const tooLong = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
    throw new (tooLong ? TooLong : RangeError)(messageOf(error))
  }
}
