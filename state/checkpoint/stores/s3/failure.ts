/**
 * What an S3 server or the way to it did wrong: whether it is worth another attempt, and in words. Pure.
 *
 * Invariant: nothing of a request gets into the words. The SDK's errors carry the signed request, so they are never a `cause`.
 */

/** The parts of the SDK's errors that are looked at; everything else that is thrown has them as undefined. */
interface SdkError {
  readonly name?: string
  readonly code?: string
  readonly message?: string
  readonly $metadata?: { readonly httpStatusCode?: number }
}

export interface S3Failure {
  /** As S3 names it: `NoSuchKey`. Or Node's code, or the class of the error. */
  readonly name: string
  /** HTTP status; undefined where there was no answer. */
  readonly status: number | undefined
  readonly isWorthRepeating: boolean
  readonly words: string
}

const messageCharsMax = 200
const refused = new Set(['SignatureDoesNotMatch', 'InvalidAccessKeyId', 'AccessDenied', 'ExpiredToken', 'InvalidToken'])
/** With a status below 500. */
const passing = new Set(['RequestTimeout', 'RequestTimeTooSkewed', 'ConditionalRequestConflict', 'OperationAborted'])
/** Thrown before anything is sent, and by the next attempt again. */
const settings = new Set(['CredentialsProviderError', 'TokenProviderError'])

/** @param place `s3://bucket/prefix` or the endpoint, for the words */
export function failureOf(error: unknown, place: { readonly bucket: string; readonly server: string }): S3Failure {
  const { name: className = 'Error', code, message = '', $metadata } = (error ?? {}) as SdkError
  const status = $metadata?.httpStatusCode
  const name = status === undefined ? (code ?? className) : className
  const short = message.split('\n')[0]!.slice(0, messageCharsMax)
  if (settings.has(className)) {
    return {
      name,
      status,
      isWorthRepeating: false,
      words: 'there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    }
  }
  if (short === 'Region is missing') {
    return { name, status, isWorthRepeating: false, words: 'there is no region: set AWS_REGION' }
  }
  if (short.startsWith('Checksum mismatch')) {
    return { name: 'ChecksumMismatch', status, isWorthRepeating: true, words: 'its checksum does not fit its bytes' }
  }
  if (status === undefined) {
    return { name, status, isWorthRepeating: true, words: `${place.server} ${wordsWithoutAnswer(className, code)}` }
  }
  const isWorthRepeating = status >= 500 || status === 429 || status === 408 || passing.has(name)
  return { name, status, isWorthRepeating, words: wordsOf(name, status, short, place) }
}

/** The SDK calls a reset a TimeoutError too, and a server that has refused a large body before its end may end in one. */
function wordsWithoutAnswer(className: string, code: string | undefined): string {
  if (code === 'ECONNRESET' || code === 'EPIPE') return `breaks the connection off (${code})`
  if (className === 'TimeoutError' || className === 'AbortError') return 'does not answer in time'
  return `cannot be reached (${code ?? className})`
}

function wordsOf(
  name: string,
  status: number,
  message: string,
  { bucket, server }: { readonly bucket: string; readonly server: string },
): string {
  if (name === 'NoSuchBucket') return `there is no bucket '${bucket}'`
  if (name === 'PermanentRedirect' || status === 301) return `bucket '${bucket}' is in another region: set AWS_REGION`
  if (refused.has(name)) return `${server} refuses these credentials (${name})`
  // An answer that is not S3's: its text is the SDK's, about parsing.
  if (/deserialization error|^UnknownError/i.test(message)) return `${server} answers ${status}, not as S3 does`
  return `${server} answers ${status} ${name}: ${message}`
}
