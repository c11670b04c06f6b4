export function zstd(_bytes: Buffer, _bytesMax: number): Buffer {
  throw new RangeError('zstd: to come')
}
