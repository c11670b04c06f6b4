/**
 * A replay's identity: the same command over the same input resumes, anything else is REPLAY_MISMATCH.
 * The identity is kept in the journal's genesis.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { messageOf, sha256Hex, WeirError } from '../../kernel/index.js'

export interface ReplayArguments {
  readonly input: string
  readonly output: string
  readonly format: 'handbook' | 'transactions'
  readonly currency: string
  readonly partitions: number
  /** Path of an .onnx file, or 'none'; undefined: the bundled model. */
  readonly model: string | undefined
  readonly rules: string | undefined
  readonly features: string | undefined
  readonly fresh: boolean
  /** Key of the tokens that stand for card numbers. */
  readonly cardKey: string
  readonly cacheMb: number
}

/** SHA-256 of a file's bytes. @throws WeirError INPUT_UNREADABLE */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  } catch (error) {
    throw new WeirError('INPUT_UNREADABLE', `cannot read ${path}: ${messageOf(error)}`, { cause: error })
  }
  return hash.digest('hex')
}

/** What decides the bytes of the output, by name. Paths of the input and the cache's size do not. */
export async function jobIdentity(args: ReplayArguments): Promise<Readonly<Record<string, string>>> {
  const fileOr = async (path: string | undefined, fallback: string): Promise<string> =>
    path === undefined || path === 'none' ? (path ?? fallback) : await hashFile(path)
  return {
    input_sha256: await hashFile(args.input),
    format: args.format,
    currency: args.currency,
    partitions: String(args.partitions),
    model: await fileOr(args.model, 'bundled'),
    rules: await fileOr(args.rules, 'bundled'),
    features: await fileOr(args.features, 'bundled'),
    // The key itself is a secret; that it is the same one is enough to know.
    card_key_sha256: sha256Hex(`weir card key ${args.cardKey}`).slice(0, 16),
  }
}

/** @throws WeirError REPLAY_MISMATCH naming what differs */
export function checkSameJob(journaled: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): void {
  const names = [...new Set([...Object.keys(journaled), ...Object.keys(now)])].sort()
  const different = names.filter(name => journaled[name] !== now[name])
  if (different.length > 0) {
    throw new WeirError('REPLAY_MISMATCH', `an unfinished replay of this output differs in ${different.join(', ')}`)
  }
}
