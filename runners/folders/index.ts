/** Folders made one level at a time: `mkdirSync(recursive)` never ends below /proc, and calls a read-only disk ENOENT. */
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Creates a folder and those above it that are missing. @throws the operating system's error of the level that failed */
export function makeFolders(path: string): void {
  const missing: string[] = []
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.push(at)
  for (const folder of missing.reverse()) makeFolder(folder)
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path)
  } catch (error) {
    // somebody else made it meanwhile
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}
