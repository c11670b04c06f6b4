/**
 * One owner of an output: a lock file with the owner's process id beside the journal.
 *
 * Invariants: 1. the file appears whole (written aside, then linked), so an unreadable one has no owner; 2. a lock is
 * taken from a process that is dead, never from one that lives. A process id that was given out again is told apart by
 * the time at which the process started, where the system shows it (Linux).
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { messageOf, WeirError } from '../../kernel/index.js'

/** Locks that this process holds: its own id in a file does not say so, containers give the same ids again. */
const held = new Set<string>()

export class OutputLock {
  readonly #path: string

  private constructor(path: string) {
    this.#path = path
  }

  /** @throws WeirError DIRECTORY_IN_USE, OUTPUT_UNWRITABLE */
  static take(path: string): OutputLock {
    if (held.has(path)) throw inUse(path, process.pid)
    const aside = `${path}.${process.pid}`
    try {
      writeFileSync(aside, `${process.pid} ${startOf(process.pid) ?? ''}\n`)
      try {
        while (!linked(aside, path)) removeDead(path)
      } finally {
        rmSync(aside, { force: true })
      }
    } catch (error) {
      if (error instanceof WeirError) throw error
      throw new WeirError('OUTPUT_UNWRITABLE', `${path}: ${messageOf(error)}`, { cause: error })
    }
    held.add(path)
    return new OutputLock(path)
  }

  release(): void {
    if (!held.delete(this.#path)) return
    rmSync(this.#path, { force: true })
  }
}

function inUse(path: string, pid: number): WeirError {
  return new WeirError('DIRECTORY_IN_USE', `process ${pid} holds ${path}`)
}

/** False when the lock exists. */
function linked(aside: string, path: string): boolean {
  try {
    linkSync(aside, path)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

/** Removes the lock when its owner is dead. @throws WeirError DIRECTORY_IN_USE */
function removeDead(path: string): void {
  const text = contents(path)
  if (text === undefined) return
  const [pid, start] = text.trim().split(' ')
  if (isAlive(Number(pid), start)) throw inUse(path, Number(pid))
  // of two that find it dead one renames it; the other then either finds nothing or has moved the new owner's lock
  const moved = `${path}.dead.${process.pid}`
  try {
    renameSync(path, moved)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  try {
    if (contents(moved) !== text) linked(moved, path)
  } finally {
    rmSync(moved, { force: true })
  }
}

function contents(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

function isAlive(pid: number, start: string | undefined): boolean {
  // this process does not hold it (`held`): an earlier one had the same id
  if (!Number.isSafeInteger(pid) || pid <= 0 || pid === process.pid) return false
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it lives, and is somebody else's
    if (codeOf(error) === 'ESRCH') return false
  }
  const started = startOf(pid)
  if (started === 'dead') return false
  return started === undefined || start === undefined || start === '' || started === start
}

/**
 * When a process started, in ticks since boot; 'dead' for one that has ended and was not collected; undefined where
 * the system does not show it.
 */
function startOf(pid: number): string | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    // no /proc, or the process is hidden: the signal alone decides
    return undefined
  }
  // the name in brackets may hold anything; fields are counted after it
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? 'dead' : fields[19]
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
}
