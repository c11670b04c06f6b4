/**
 * A lock between processes: one directory, made whole by a rename, that holds its owner's pid.
 *
 * Invariants:
 * 1. The directory appears with the pid already in it, so nobody sees a lock without an owner.
 * 2. A lock is broken only when nobody in it lives: neither its owner nor the child that the owner has noted (npm goes on
 *    when set-up is killed with -9). A pid may have been given to another process since, or belong to another container
 *    that shares this directory; so a lock is also broken when it was not touched for `staleMs`, or `orphanMs` where a
 *    child is left.
 */
import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

const pollMs = 200
const touchMs = 2_000
const staleMs = 30_000
const orphanMs = 600_000

/**
 * Waits for the lock and takes it.
 * @param path the lock directory; its parent is created
 * @param onWait called once with the owner's pid when the lock is not free
 * @returns release() (happens by itself when the process exits; may be called more than once) and noteChild(pid), to be
 *   called when a child starts that must not be left alone with what the lock protects
 */
export async function takeLock(path, onWait) {
  const mine = `${path}.${process.pid}`
  let touching
  const release = () => {
    clearInterval(touching)
    process.removeListener('exit', release)
    // Moved first: a directory that is emptied in place could be taken by another's rename before it is removed.
    if (pidsIn(path)[0] === process.pid) existed(() => renameSync(path, mine))
    rmSync(mine, { recursive: true, force: true })
  }
  process.once('exit', release)
  mkdirSync(mine, { recursive: true })
  writeFileSync(join(mine, 'pid'), String(process.pid))
  let waited = false
  while (!tryRename(mine, path)) {
    const pids = pidsIn(path)
    if (isAbandoned(path, pids)) {
      breakLock(path, pids)
      continue
    }
    if (!waited) onWait(pids.find(isAlive))
    waited = true
    await new Promise(resolve => setTimeout(resolve, pollMs))
  }
  touch(path)
  touching = setInterval(() => touch(path), touchMs).unref()
  const noteChild = pid => appendFileSync(join(path, 'pid'), `\n${pid}`)
  return { release, noteChild }
}

/** True when `path` was free and is now ours: a directory cannot be renamed onto one that holds something. */
function tryRename(from, path) {
  try {
    renameSync(from, path)
    return true
  } catch (error) {
    if (error.code === 'ENOTEMPTY' || error.code === 'EEXIST') return false
    throw error
  }
}

/** Owner and children of the lock; none when the lock is gone, or was made by something else. */
function pidsIn(path) {
  try {
    const lines = readFileSync(join(path, 'pid'), 'utf8').split('\n')
    return lines.map(Number).filter(pid => pid > 0)
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return []
    throw error
  }
}

function isAbandoned(path, [owner, ...children]) {
  const orphaned = owner !== undefined && !isAlive(owner)
  if (orphaned && !children.some(isAlive)) return true
  const touched = statSync(path, { throwIfNoEntry: false })?.mtimeMs
  return touched !== undefined && Date.now() - touched > (orphaned ? orphanMs : staleMs)
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Moves the lock aside, and back when it was no longer the one that we judged. */
function breakLock(path, [owner]) {
  const aside = `${path}.broken.${process.pid}`
  rmSync(aside, { recursive: true, force: true })
  if (!existed(() => renameSync(path, aside))) return
  if (pidsIn(aside)[0] === owner || !tryRename(aside, path)) rmSync(aside, { recursive: true, force: true })
}

function touch(path) {
  const now = new Date()
  existed(() => utimesSync(path, now, now))
}

/** Runs `act` and says whether what it acts on was there. */
function existed(act) {
  try {
    act()
    return true
  } catch (error) {
    if (error.code === 'ENOENT') return false
    throw error
  }
}
