/**
 * A real S3 server for tests: versitygw over a temporary folder, on the loopback address. Or what WEIR_TEST_S3_URL names,
 * `http://KEY:SECRET@HOST:PORT/BUCKET`, whose bucket is there.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { goProgram } from './go.js'
import { reasonAgainst } from './missing.js'
import { servicePort } from './ports.js'
import { answers, GuardedFolder } from './process.js'

const readyMsMax = 30_000

export interface S3ForTests {
  /** `http://127.0.0.1:PORT` */
  readonly endpoint: string
  /** It is there; other tests may use it. */
  readonly bucket: string
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string }
  /** The bucket as a folder of files, to damage them; undefined where the server is not ours. */
  readonly folder: string | undefined
  stop(): Promise<void>
}

/**
 * The reason why no S3 server can run here, or undefined: for the `skip` of a test.
 * @throws Error with that reason where WEIR_REQUIRE_SERVICES=1
 */
export async function s3Missing(): Promise<string | undefined> {
  return process.env.WEIR_TEST_S3_URL === undefined ? reasonAgainst('S3', versitygw) : undefined
}

/** 75 s and more the first time. */
const versitygw = (): Promise<string> => goProgram('versitygw', 'github.com/versity/versitygw/cmd/versitygw')

/** @throws Error when it does not start; where it may be missing ask `s3Missing` first */
export async function startS3(): Promise<S3ForTests> {
  const existing = process.env.WEIR_TEST_S3_URL
  return existing === undefined ? startOwn() : joinExisting(new URL(existing))
}

function joinExisting({ origin, pathname, username, password }: URL): S3ForTests {
  return {
    endpoint: origin,
    bucket: pathname.slice(1),
    credentials: { accessKeyId: decodeURIComponent(username), secretAccessKey: decodeURIComponent(password) },
    folder: undefined,
    stop: async () => {},
  }
}

async function startOwn(): Promise<S3ForTests> {
  const program = await versitygw()
  const port = await servicePort()
  const endpoint = `http://127.0.0.1:${port}`
  const credentials = { accessKeyId: 'weir-tests', secretAccessKey: 'only-for-weir-tests' }
  const folder = await GuardedFolder.create('weir-s3-')
  const bucket = 'weir-tests'
  // A folder of its root is a bucket.
  const root = join(folder.path, 'root')
  mkdirSync(join(root, bucket), { recursive: true })
  try {
    await folder.start(program, ['--port', `127.0.0.1:${port}`, '--health', '/health', 'posix', root], {
      name: 's3',
      env: {
        ...process.env,
        ROOT_ACCESS_KEY: credentials.accessKeyId,
        ROOT_SECRET_KEY: credentials.secretAccessKey,
      },
      readyMsMax,
      isReady: () => answers(`${endpoint}/health`),
    })
  } catch (error) {
    await folder.close()
    throw error
  }
  return { endpoint, bucket, credentials, folder: join(root, bucket), stop: () => folder.close() }
}
