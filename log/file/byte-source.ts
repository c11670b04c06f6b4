/**
 * The bytes of an input file, in order, once; gunzipped where the file is gzip by its name or its first two bytes.
 *
 * Invariants: 1. memory is bounded by a few chunks, whatever the file holds (I6); 2. damage is reported only after every
 * byte before it has been handed out, so that the rows before it are not lost.
 */
import { type FileHandle, open } from 'node:fs/promises'
import { isWeirError, messageOf, WeirError } from '../../kernel/index.js'
import { GzipSource } from './gunzip.js'

export interface ByteSource {
  /**
   * The next bytes; null at the end. A view that is valid until the next call.
   * @throws WeirError INPUT_UNREADABLE
   */
  next(): Promise<Buffer | null>
  /** Bytes of the file that were taken, as they lie on disk. */
  readonly bytesRead: number
  close(): Promise<void>
}

export interface OpenInput {
  readonly source: ByteSource
  /** Of the file as it lies on disk. */
  readonly bytesTotal: number
}

/** @throws WeirError INPUT_UNREADABLE */
export async function openInput(path: string, chunkBytes: number): Promise<OpenInput> {
  let file: FileHandle | undefined
  try {
    file = await open(path, 'r')
    const stat = await file.stat()
    if (!stat.isFile()) throw new WeirError('INPUT_UNREADABLE', `${path} is not a regular file`)
    const magic = Buffer.alloc(2)
    const { bytesRead } = await file.read(magic, 0, 2, 0)
    const isGzip = bytesRead === 2 && magic[0] === 0x1f && magic[1] === 0x8b
    const plain = new PlainSource(file, path, chunkBytes)
    const source = isGzip || path.toLowerCase().endsWith('.gz') ? new GzipSource(plain, path, chunkBytes) : plain
    return { source, bytesTotal: stat.size }
  } catch (error) {
    await file?.close()
    throw isWeirError(error)
      ? error
      : new WeirError('INPUT_UNREADABLE', `${path}: ${messageOf(error)}`, { cause: error })
  }
}

class PlainSource implements ByteSource {
  bytesRead = 0
  readonly #file: FileHandle
  readonly #path: string
  readonly #chunk: Buffer

  constructor(file: FileHandle, path: string, chunkBytes: number) {
    this.#file = file
    this.#path = path
    this.#chunk = Buffer.allocUnsafe(chunkBytes)
  }

  async next(): Promise<Buffer | null> {
    try {
      const { bytesRead } = await this.#file.read(this.#chunk, 0, this.#chunk.length, this.bytesRead)
      this.bytesRead += bytesRead
      return bytesRead === 0 ? null : this.#chunk.subarray(0, bytesRead)
    } catch (error) {
      throw new WeirError('INPUT_UNREADABLE', `${this.#path}: ${messageOf(error)}`, { cause: error })
    }
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}
