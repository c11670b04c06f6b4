/**
 * Files of the repository that are data: read in place, so that a build need not copy them. The root is the nearest
 * folder above this module that holds package.json, whether the module runs from dist/ or another build folder.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { defined } from './assert.js'

function findRoot(): string | undefined {
  let folder = import.meta.dirname
  while (!existsSync(join(folder, 'package.json'))) {
    const above = dirname(folder)
    if (above === folder) return undefined
    folder = above
  }
  return folder
}

let root: string | undefined

/** Absolute path of a file named by its path from the repository's root, such as `fraud/rules/default-rules.json`. */
export function repositoryFile(path: string): string {
  root ??= defined(findRoot(), `a package.json above ${import.meta.dirname}`)
  return join(root, path)
}
