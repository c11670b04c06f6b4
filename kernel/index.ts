export { AssertionError, assert, assertNever, defined } from './assert.js'
export { ByteReader, ByteWriter } from './bytes.js'
export { minorUnitDigits, minorUnitsPerMajor } from './currency.js'
export {
  type ErrorCode,
  type ErrorDomain,
  type ErrorEntry,
  errorTable,
  isWeirError,
  messageOf,
  type RetryHint,
  WeirError,
} from './errors.js'
export { crc32, murmur2, positiveMurmur2, sha256Hex } from './hash.js'
export { repositoryFile } from './paths.js'
export { BoundedQueue } from './queue.js'
export {
  parseSealKeys,
  type SealKeys,
  seal,
  sealedWith,
  sealOverheadBytes,
  type Unsealed,
  unseal,
} from './seal.js'
export {
  beginningOfTime,
  type Clock,
  type DurationMs,
  days,
  type EventTimeMs,
  eventTime,
  formatEventTime,
  hours,
  millis,
  minus,
  minutes,
  plus,
  seconds,
  systemClock,
} from './time.js'
