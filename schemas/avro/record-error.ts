import type { ErrorCode } from '../../kernel/index.js'

/** Why bytes are not a record. Returned, never thrown: bad input is ordinary, and a throw costs a stack trace. */
export class RecordError {
  readonly code: ErrorCode
  /** Names the field and what is wrong with it; never echoes a value, which could be a card number. */
  readonly message: string

  constructor(code: ErrorCode, message: string) {
    this.code = code
    this.message = message
  }
}

/** A message may be up to this long; beyond it the record is refused (RECORD_TOO_LARGE). */
export const recordBytesMax = 65_536

/**
 * Turns the bytes of one record into a value. Never throws on input.
 * The value shares no memory with `bytes`: its strings are copies.
 */
export interface RecordDecoder<T> {
  decode(bytes: Buffer, start: number, end: number): T | RecordError
  /** Fields that no schema names, ignored and counted since the decoder was made. */
  readonly unknownFields: number
}

export function tooLarge(bytes: number): RecordError {
  return new RecordError('RECORD_TOO_LARGE', `the record is longer than ${recordBytesMax} bytes (${bytes} were read)`)
}
