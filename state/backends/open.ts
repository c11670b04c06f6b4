/**
 * Which binding opens a database: the one that wrote it, or, for a new one, `rocksdb` where it has a binary and
 * `rocksdb-native` elsewhere. The versions of RocksDB in them are years apart, and the older one cannot read what the newer
 * one has written; a file beside the data names the binding. A database without that file is of `rocksdb`.
 */
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { messageOf, WeirError } from '../../kernel/index.js'
import type { StateBackend } from '../backend.js'
import { failed } from './calls.js'
import { openWithRocksDb, type RocksDbOptions } from './rocksdb.js'
import { openRocksDbNative } from './rocksdb-native.js'

export type Binding = 'rocksdb' | 'rocksdb-native'

const bindings: Readonly<Record<Binding, typeof openRocksDbNative>> = {
  rocksdb: openWithRocksDb,
  'rocksdb-native': openRocksDbNative,
}
const markerFile = 'BINDING'

/**
 * Opens the database in `directory`, which is created when missing.
 * @param binding for a new database; the default is the first that has a binary for this machine
 * @throws WeirError DIRECTORY_IN_USE while a process (this one included) has it open, STATE_FORMAT where its binding has no
 * binary here, BACKEND_FAILED
 */
export async function openRocksDb(
  directory: string,
  options: RocksDbOptions = {},
  binding: Binding = bindingOfNew(),
): Promise<StateBackend> {
  const written = await bindingOf(directory)
  if (written !== undefined && !available(written)) {
    throw new WeirError(
      'STATE_FORMAT',
      `${directory} was written through ${written}, which has no binary for this machine`,
    )
  }
  const backend = await bindings[written ?? binding](directory, options)
  try {
    if (written === undefined) await writeFile(join(directory, markerFile), `${binding}\n`)
  } catch (error) {
    await backend.close()
    throw failed(`open ${directory}`, error)
  }
  return backend
}

/** Of those with a binary for this machine the first; the last where there is none. */
const bindingOfNew = (): Binding => (available('rocksdb') ? 'rocksdb' : 'rocksdb-native')

/**
 * Keeps the native part of the binding for new databases in the process. A process whose threads have all let go of it cannot load
 * it again; whoever starts threads that come and go calls this first. Where no binding loads, opening a database says so.
 */
export function keepRocksDb(): void {
  available(bindingOfNew())
}

/** @returns undefined for a new database */
async function bindingOf(directory: string): Promise<Binding | undefined> {
  try {
    await mkdir(directory, { recursive: true })
    if (!existsSync(join(directory, 'CURRENT'))) return undefined
    if (!existsSync(join(directory, markerFile))) return 'rocksdb'
    const name = (await readFile(join(directory, markerFile), 'utf8')).trim()
    if (name in bindings) return name as Binding
    if (!/^[a-z][a-z0-9-]*$/.test(name)) throw new Error(`${markerFile} is damaged`)
    throw new WeirError('STATE_FORMAT', `${directory} was written through '${name}', which this Weir does not know`)
  } catch (error) {
    throw error instanceof WeirError ? error : failed(`open ${directory}`, error)
  }
}

const loads = new Map<Binding, boolean>()

/** Whether the package is there and has a binary for this machine. */
export function available(binding: Binding): boolean {
  let known = loads.get(binding)
  if (known === undefined) {
    known = whyNot(binding) === undefined
    loads.set(binding, known)
  }
  return known
}

/** Why the package does not load; undefined when it does. */
export function whyNot(binding: Binding): string | undefined {
  try {
    createRequire(import.meta.url)(binding)
    return undefined
  } catch (error) {
    return messageOf(error).split('\n')[0]
  }
}
