/** Where an S3 store is and how patient it is. */
import { WeirError } from '../../../../kernel/index.js'

export interface S3Options {
  readonly bucket: string
  /** Before the name of every object: '' or ending with `/`. */
  readonly prefix: string
  /** `https://host[:port]`, with the bucket in its path; undefined: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or AWS. */
  readonly endpoint?: string
  /** undefined: as the AWS variables and files say; with an endpoint us-east-1 unless they do. */
  readonly region?: string
  /** undefined: the AWS variables, files, or the role of the machine or pod, and renewed as these are. */
  readonly credentials?: {
    readonly accessKeyId: string
    readonly secretAccessKey: string
    readonly sessionToken?: string
  }
}

export interface S3Limits {
  readonly connectionsMax: number
  readonly connectMsMax: number
  /** Without a byte in either direction. */
  readonly stallMsMax: number
  /** Of one attempt, with its whole body. */
  readonly attemptMsMax: number
  readonly attemptsMax: number
  /** Before the second attempt; twice as long before each one after it. */
  readonly pauseMs: number
  readonly objectBytesMax: number
  /** Names in one answer to a list; servers give 1,000 at most. */
  readonly pageNamesMax: number
}

export const defaultLimits: S3Limits = {
  connectionsMax: 16,
  connectMsMax: 5_000,
  stallMsMax: 15_000,
  attemptMsMax: 300_000,
  attemptsMax: 4,
  pauseMs: 200,
  objectBytesMax: 256 << 20,
  pageNamesMax: 1_000,
}

/** Names of objects have up to 900 bytes, those of S3 up to 1,024. */
const prefixBytesMax = 124

/**
 * `s3://BUCKET[/PREFIX]`. Endpoint, region and credentials are settings or the standard AWS variables, never part of it: an
 * address is shown in messages.
 * @throws WeirError USAGE
 */
export function parseS3Url(url: string): Pick<S3Options, 'bucket' | 'prefix'> {
  const [, bucket, rest = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([A-Za-z0-9._/-]*))?$/.exec(url) ?? []
  if (bucket === undefined) {
    throw new WeirError('USAGE', 'an S3 store is given as s3://BUCKET/PREFIX, of letters, digits and . _ - /')
  }
  const folders = rest.split('/').filter(folder => folder !== '')
  const prefix = folders.map(folder => `${folder}/`).join('')
  if (folders.some(folder => folder === '.' || folder === '..') || prefix.length > prefixBytesMax) {
    throw new WeirError(
      'USAGE',
      `the prefix of an S3 store has up to ${prefixBytesMax} characters, and no . or .. in it`,
    )
  }
  return { bucket, prefix }
}
