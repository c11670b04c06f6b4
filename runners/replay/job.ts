/**
 * A replay's identity: the same command over the same input resumes, anything else is REPLAY_MISMATCH.
 * The identity is kept in the journal's genesis.
 */
import { createHash } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'
import type { Policy, RuleSet } from '../../fraud/index.js'
import { messageOf, sha256Hex, WeirError } from '../../kernel/index.js'
import type { ModelContract } from '../../scoring/index.js'
import type { MemoryShare } from '../memory/index.js'
import { fileKind } from './files.js'

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
  readonly memory: MemoryShare
  /** Records in an epoch, at most; undefined: the slot's own bound. Changes no byte. */
  readonly epochRecords: number | undefined
}

/** SHA-256 of the input's bytes. @throws WeirError INPUT_UNREADABLE */
export async function hashInput(path: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    // looked at before it is opened: opening a pipe would wait for its writer
    if (!statSync(path).isFile()) throw new Error('it is not a regular file')
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  } catch (error) {
    throw new WeirError('INPUT_UNREADABLE', `cannot read ${path}: ${messageOf(error)}`, { cause: error })
  }
  return hash.digest('hex')
}

/** What a replay runs, loaded: by content, so that a new version of a bundled file is another job. */
export interface JobParts {
  readonly inputSha256: string
  /** Of the topology, feature set included. */
  readonly fingerprint: string
  readonly model: ModelContract | null
  readonly rules: RuleSet
  readonly policy: Policy
}

/**
 * What decides the bytes of the output, by name. Paths, the cache's size and the length of epochs do not. The arguments
 * stand before what follows from them, so that a mismatch names the argument.
 */
export function jobIdentity(args: ReplayArguments, parts: JobParts): Readonly<Record<string, string>> {
  const shortHash = (value: unknown): string => sha256Hex(JSON.stringify(value)).slice(0, 16)
  return {
    input_sha256: parts.inputSha256,
    format: `${args.format} ${fileKind(args.input)}`,
    currency: args.currency,
    partitions: String(args.partitions),
    // its contract states the hash of its .onnx file
    model: parts.model === null ? 'none' : shortHash(parts.model),
    rules: shortHash(parts.rules),
    policy: shortHash(parts.policy),
    topology: parts.fingerprint,
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
