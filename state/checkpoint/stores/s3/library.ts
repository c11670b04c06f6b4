/** `@aws-sdk/client-s3`, loaded when an S3 store is opened: 130 ms and 25 MB (measured, Node 20). */
type Library = typeof import('@aws-sdk/client-s3')

export type { S3Client } from '@aws-sdk/client-s3'

let loading: Promise<Library> | undefined

export function loadLibrary(): Promise<Library> {
  // The version that the lock file names runs on Node 20; that later ones will not is for us to know (docs/decisions/0015).
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true'
  loading ??= import('@aws-sdk/client-s3')
  return loading
}
