export { defaultLimits, parseS3Url, type S3Limits, type S3Options } from './options.js'
export { openS3Store } from './s3-store.js'
