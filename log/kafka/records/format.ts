/**
 * Kafka's record batch, format 2: where its fields lie. The checksum covers everything from the attributes on.
 */
export const field = {
  baseOffset: 0,
  length: 8,
  leaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  count: 57,
} as const

export const batchHeaderBytes = 61
/** Offset and length, which the length does not count. */
export const lengthOverhead = 12
export const magicSupported = 2

export const attribute = {
  compression: 0x07,
  logAppendTime: 0x08,
  transactional: 0x10,
  /** The only mark of a control batch: a key of four zero bytes is a key like any other. */
  control: 0x20,
} as const
