/** The keys of a deployment, from the environment or a file: parsed once at the start, never shown. */
import { readFileSync, statSync } from 'node:fs'
import { messageOf, parseSealKeys, type SealKeys, WeirError } from '../../kernel/index.js'

const fileBytesMax = 65_536
/** Rights of others than the owner and its group, or to change it. Kubernetes gives a pod's secrets to its group. */
const tooOpen = 0o027

export interface KeySource {
  /** The keys themselves, as `parseSealKeys` reads them. */
  readonly keys?: string | undefined
  /** A file that holds them. */
  readonly keyFile?: string | undefined
}

/**
 * @returns undefined where neither is given: nothing is encrypted
 * @throws WeirError INVALID_KEYS
 */
export function loadSealKeys({ keys, keyFile }: KeySource): SealKeys | undefined {
  if (keys !== undefined && keyFile !== undefined) {
    throw new WeirError(
      'INVALID_KEYS',
      'both the keys and a file of keys are given, and it is not clear which one writes',
    )
  }
  if (keys !== undefined) return parseSealKeys(keys, 'the setting')
  return keyFile === undefined ? undefined : parseSealKeys(readKeyFile(keyFile), keyFile)
}

function readKeyFile(path: string): string {
  try {
    const { mode, size } = statSync(path)
    if (process.platform !== 'win32' && (mode & tooOpen) !== 0) {
      const rights = (mode & 0o777).toString(8)
      throw new WeirError('INVALID_KEYS', `${path} is open to others (mode ${rights}): chmod 600 ${path}`)
    }
    if (size > fileBytesMax) throw new WeirError('INVALID_KEYS', `${path} is no file of keys: it has ${size} bytes`)
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof WeirError) throw error
    throw new WeirError('INVALID_KEYS', `${path} cannot be read (${messageOf(error)})`)
  }
}
