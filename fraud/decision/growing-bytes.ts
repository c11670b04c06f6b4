/**
 * One growing buffer that the writers of decisions write into, whatever the encoding. Nothing is written past what `reserve`
 * promised: writing does not check again.
 */
export class GrowingBytes {
  bytes: Buffer
  length = 0

  constructor(initialBytes: number) {
    this.bytes = Buffer.allocUnsafe(initialBytes)
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const needed = this.length + count
    if (needed <= this.bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.bytes.length * 2))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }

  raw(piece: Uint8Array): void {
    this.bytes.set(piece, this.length)
    this.length += piece.length
  }

  byte(value: number): void {
    this.bytes[this.length++] = value
  }
}
