/**
 * The entries about the store itself: its format, the journal position that its content reflects, and the numbers of its last
 * write-backs. RocksDB as it is bound here passes over a damaged record of its write-ahead log and applies what comes behind it:
 * a store may then lack one write-back and have the next. A number that is missing tells (I2).
 */
import { ByteReader, ByteWriter, messageOf, WeirError } from '../kernel/index.js'
import type { StateBackend } from './backend.js'
import { space } from './keys.js'

/** Of the keys and of everything in this folder that is written; see FORMAT.md for what changed. */
export const formatVersion = 4

/** So many write-backs leave their number; RocksDB's log holds fewer of them before it becomes a table. */
export const turnsMax = 1_024

/** The journal's position that a state is the fold of. */
export interface StatePosition {
  /** The last epoch that is in; 0 for the genesis alone. */
  readonly epoch: number
  /** The journal's hash of that epoch. */
  readonly journalHash: string
  /** Of the topology that made the state. */
  readonly fingerprint: string
  /** Where the journal goes on from this state; absent when it must be read from its genesis. */
  readonly resume?: JournalResume
}

export interface JournalResume {
  /** Of the record with `journalHash`. */
  readonly offset: number
  /** The genesis record, as it was written: the journal may have lost it when it was trimmed. */
  readonly genesis: string
}

export interface Meta {
  readonly position: StatePosition
  readonly keyGroups: number
  /** Event time, ms; -Infinity while nothing has moved it. */
  readonly expiryClock: number
  /** Of the write-backs that the content is made of (checkpoint/spool.ts); '' when nobody has kept count. */
  readonly chain: string
  /** Write-backs since the store was empty, or restored; 0: none has left its number. */
  readonly turn: number
}

const metaKey = (namespace: Uint8Array, name: string): Buffer =>
  Buffer.concat([namespace, Buffer.of(space.meta), Buffer.from(name)])
export const formatKey = (namespace: Uint8Array): Buffer => metaKey(namespace, 'format')
export const positionKey = (namespace: Uint8Array): Buffer => metaKey(namespace, 'position')

/** @param turn from 1 on */
export const turnKey = (namespace: Uint8Array, turn: number): Buffer => {
  const place = turn % turnsMax
  return Buffer.concat([metaKey(namespace, 'turn'), Buffer.of(place >> 8, place & 0xff)])
}

export function encodeTurn(turn: number): Buffer {
  const into = new ByteWriter()
  into.varint(turn)
  return into.take()
}

export function encodeMeta(meta: Meta): Buffer {
  const into = new ByteWriter()
  into.varint(meta.position.epoch)
  into.string(meta.position.journalHash)
  into.string(meta.position.fingerprint)
  into.varint(meta.keyGroups)
  into.f64(meta.expiryClock)
  const { resume } = meta.position
  into.u8(resume === undefined ? 0 : 1)
  if (resume !== undefined) {
    into.varint(resume.offset)
    into.string(resume.genesis)
  }
  into.string(meta.chain)
  into.varint(meta.turn)
  return into.take()
}

function decodeMeta(bytes: Buffer, version: number): Meta {
  const from = new ByteReader(bytes)
  const position = { epoch: from.varint(), journalHash: from.string(), fingerprint: from.string() }
  const rest = { keyGroups: from.varint(), expiryClock: from.f64() }
  if (version === 1) return { position, ...rest, chain: '', turn: 0 }
  const resume = from.u8() === 0 ? {} : { resume: { offset: from.varint(), genesis: from.string() } }
  const chain = version === 2 ? '' : from.string()
  return { position: { ...position, ...resume }, ...rest, chain, turn: version < 4 ? 0 : from.varint() }
}

/**
 * @param onLacking a write-back is missing in the store
 * @returns undefined then, and when the store has no position: it is new, or its wiping was cut short
 * @throws WeirError STATE_FORMAT for the directory of a newer Weir, BACKEND_FAILED for entries that do not decode
 */
export async function readMeta(
  backend: StateBackend,
  namespace: Uint8Array,
  onLacking?: () => void,
): Promise<Meta | undefined> {
  const [format, position] = await backend.getMany([formatKey(namespace), positionKey(namespace)])
  const version = format?.[0] ?? formatVersion
  if (version > formatVersion) {
    throw new WeirError('STATE_FORMAT', `the state has format ${version}, this Weir reads up to ${formatVersion}`)
  }
  if (position === undefined) return undefined
  let meta: Meta
  try {
    meta = decodeMeta(position, version)
  } catch (error) {
    throw new WeirError('BACKEND_FAILED', `the state's position does not decode: ${messageOf(error)}`, { cause: error })
  }
  if (await hasAllTurns(backend, namespace, meta.turn)) return meta
  onLacking?.()
  return undefined
}

async function hasAllTurns(backend: StateBackend, namespace: Uint8Array, turn: number): Promise<boolean> {
  const turns = Array.from({ length: Math.min(turn, turnsMax) }, (_, i) => turn - i)
  const found = await backend.getMany(turns.map(each => turnKey(namespace, each)))
  return turns.every((each, i) => found[i]?.equals(encodeTurn(each)) ?? false)
}
