/**
 * The checkpoint store in a directory, on a local or a shared file system with rename, link and fsync.
 *
 * Invariants: 1. an object appears under its name only when all of it is on the disk: it is written to `.partial/`, synced,
 * then renamed (put) or linked (create) and its folder synced; 2. what a crash leaves in `.partial/` is never listed, and goes
 * when another writes a day later; each opening writes in a folder of its own there.
 */
import type { Dirent } from 'node:fs'
import { link, mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { messageOf, WeirError } from '../../../kernel/index.js'
import { type CheckpointStore, checkObjectName, type StoredObject } from '../store.js'

const partialFolder = '.partial'

const leftoverMs = 86_400_000

/**
 * Opens the store in `directory`, which is created when missing. Nothing is written into one that is there before an object is:
 * what is mounted read-only can be read.
 * @throws WeirError CHECKPOINT_STORE_FAILED
 */
export async function openDirectoryStore(directory: string): Promise<CheckpointStore> {
  try {
    await mkdir(directory, { recursive: true })
    await readdir(directory)
    return new DirectoryStore(directory)
  } catch (error) {
    throw new WeirError('CHECKPOINT_STORE_FAILED', `could not open ${directory}: ${messageOf(error)}`, { cause: error })
  }
}

/** A folder of its own for unfinished objects; what others left in theirs a day ago goes. */
async function makePartialFolder(root: string): Promise<string> {
  const all = join(root, partialFolder)
  await mkdir(all, { recursive: true })
  const partial = await mkdtemp(join(all, 'w'))
  // By the file system's own clock, which may be another machine's.
  const { mtimeMs } = await stat(partial)
  for (const name of await readdir(all)) {
    const path = join(all, name)
    if (mtimeMs - ((await ifThere(stat(path)))?.mtimeMs ?? mtimeMs) > leftoverMs)
      await rm(path, { recursive: true, force: true })
  }
  return partial
}

class DirectoryStore implements CheckpointStore {
  readonly #root: string
  /** Where unfinished objects are written; undefined before the first. */
  #partial: Promise<string> | undefined
  #partials = 0
  #closed = false

  constructor(root: string) {
    this.#root = root
  }

  /** For one unfinished object. */
  async #partialPath(): Promise<string> {
    this.#partial ??= makePartialFolder(this.#root)
    try {
      const folder = await this.#partial
      // It goes when nothing was written for a day and another one writes.
      await mkdir(folder, { recursive: true })
      return join(folder, String(this.#partials++))
    } catch (error) {
      this.#partial = undefined
      throw error
    }
  }

  async #doing<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new WeirError('CHECKPOINT_STORE_FAILED', 'the checkpoint store is closed')
    try {
      return await work()
    } catch (error) {
      throw new WeirError('CHECKPOINT_STORE_FAILED', `could not ${what}: ${messageOf(error)}`, { cause: error })
    }
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    checkObjectName(name)
    await this.#doing(`put ${name}`, () =>
      this.#publish(name, bytes, async (partial, path) => {
        await rename(partial, path)
        return true
      }),
    )
  }

  async create(name: string, bytes: Uint8Array): Promise<boolean> {
    checkObjectName(name)
    return this.#doing(`create ${name}`, () =>
      this.#publish(name, bytes, async (partial, path) => {
        try {
          await link(partial, path)
          return true
        } catch (error) {
          if (codeOf(error) === 'EEXIST') return false
          throw error
        } finally {
          await unlink(partial)
        }
      }),
    )
  }

  async #publish(
    name: string,
    bytes: Uint8Array,
    move: (partial: string, path: string) => Promise<boolean>,
  ): Promise<boolean> {
    const path = join(this.#root, name)
    const partial = await this.#partialPath()
    try {
      const file = await open(partial, 'wx')
      try {
        await file.writeFile(bytes)
        await file.sync()
      } finally {
        await file.close()
      }
      await this.#makeFolder(dirname(path))
      const moved = await move(partial, path)
      await syncFolder(dirname(path))
      return moved
    } catch (error) {
      await rm(partial, { force: true })
      throw error
    }
  }

  /** With every folder above it that is new, durably. */
  async #makeFolder(path: string): Promise<void> {
    const made = await mkdir(path, { recursive: true })
    if (made === undefined) return
    for (let at = path; at.length >= made.length; at = dirname(at)) await syncFolder(dirname(at))
  }

  async get(name: string): Promise<Buffer | undefined> {
    checkObjectName(name)
    return this.#doing(`get ${name}`, () => ifThere(readFile(join(this.#root, name))))
  }

  async *list(prefix: string): AsyncIterable<StoredObject> {
    for await (const name of this.#walk('', prefix)) {
      // Undefined: deleted since its folder was read.
      const found = await this.#doing(`list ${name}`, () => ifThere(stat(join(this.#root, name))))
      if (found !== undefined) yield { name, bytes: found.size }
    }
  }

  /** @param folder ends in `/`, or is empty */
  async *#walk(folder: string, prefix: string): AsyncIterable<string> {
    const entries = await this.#doing(`list ${prefix}`, async () => {
      return (await ifThere(readdir(join(this.#root, folder), { withFileTypes: true }))) ?? []
    })
    // A folder sorts as its name with the `/` that stands behind it in the names of its objects.
    const names = entries.map((entry: Dirent) => folder + entry.name + (entry.isDirectory() ? '/' : '')).sort()
    for (const name of names) {
      if (name === `${partialFolder}/`) continue
      if (!name.endsWith('/')) {
        if (name.startsWith(prefix)) yield name
      } else if (name.startsWith(prefix) || prefix.startsWith(name)) yield* this.#walk(name, prefix)
    }
  }

  async delete(names: readonly string[]): Promise<void> {
    for (const name of names) checkObjectName(name)
    const folders = new Set<string>()
    for (const name of names) {
      const path = join(this.#root, name)
      const gone = await this.#doing(`delete ${name}`, () => ifThere(unlink(path).then(() => true)))
      if (gone) folders.add(dirname(path))
    }
    for (const folder of folders) await this.#doing(`delete from ${folder}`, () => syncFolder(folder))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    await this.#doing(`close ${this.#root}`, async () => {
      const partial = await this.#partial
      if (partial !== undefined) await rm(partial, { recursive: true, force: true })
    })
    this.#closed = true
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

/** Undefined when there is nothing of that name, or its folder is an object. */
async function ifThere<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes(codeOf(error) ?? '')) return undefined
    throw error
  }
}
