/**
 * The source tree as the layout tests see it: every .ts file with its imports, read as text, without a compiler.
 *
 * Invariant: `code` has the length and line breaks of `text`, with comments and the contents of strings, templates and
 * regular expressions blanked, so that a match in it is code, at the same place.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { repositoryFile } from '../../kernel/index.js'
import { maskLiterals } from './mask.js'

export interface Import {
  readonly line: number
  /** As written: `../kernel/index.js`, `node:fs`, `fast-check`. */
  readonly specifier: string
  /** Path from the root of the file that a relative import names, as .ts; undefined for packages. */
  readonly target: string | undefined
  /** Erased by the compiler: `import type`, or every name is a `type`. */
  readonly typeOnly: boolean
}

export interface SourceFile {
  /** From the root, with forward slashes. */
  readonly path: string
  readonly text: string
  readonly code: string
  readonly imports: readonly Import[]
  readonly isTest: boolean
}

const skipped = new Set(['node_modules', 'dist'])

export const root = repositoryFile('')

export const readText = (path: string): string => readFileSync(`${root}/${path}`, 'utf8')

/** Every .ts file, sorted by path. As the compiler does, dot folders are left out. */
export function sourceFiles(): readonly SourceFile[] {
  const paths: string[] = []
  const walk = (folder: string): void => {
    for (const entry of readdirSync(`${root}/${folder}`, { withFileTypes: true })) {
      if (entry.name.startsWith('.') || skipped.has(entry.name)) continue
      const path = posix.join(folder, entry.name)
      if (entry.isDirectory()) walk(path)
      else if (path.endsWith('.ts')) paths.push(path)
    }
  }
  walk('')
  return paths.sort().map(path => parseSource(path, readText(path)))
}

export function parseSource(path: string, text: string): SourceFile {
  const code = maskLiterals(text)
  return { path, text, code, imports: importsOf(path, text, code), isTest: path.endsWith('.test.ts') }
}

/** 1-based line of a position in `text`. */
export function lineAt(text: string, index: number): number {
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < index; at = text.indexOf('\n', at + 1)) line++
  return line
}

/** `import … from ''` and `export … from ''`; what stands between is names, commas, braces and stars. */
const withNames =
  /(?:^|[;}])[ \t]*(?:import|export)\b(?<clause>(?:(?!\b(?:import|export)\b)[\s\w$,{}*])*?)\bfrom\s*(?<quoted>(['"]) *\3)/gm
/** `import ''` and `import('')`. */
const withoutNames = /(?<![.\w])import\s*(?:\(\s*)?(?<quoted>(['"]) *\2)/g

function importsOf(path: string, text: string, code: string): Import[] {
  const found: Import[] = []
  for (const match of [...code.matchAll(withNames), ...code.matchAll(withoutNames)]) {
    const end = match.index + match[0].length
    const specifier = text.slice(end - (match.groups?.quoted ?? '').length + 1, end - 1)
    const target = posix.join(posix.dirname(path), specifier).replace(/\.js$/, '.ts')
    found.push({
      line: lineAt(text, end),
      specifier,
      target: specifier.startsWith('.') ? target : undefined,
      typeOnly: isTypeOnly(match.groups?.clause ?? ''),
    })
  }
  return found.sort((a, b) => a.line - b.line)
}

function isTypeOnly(clause: string): boolean {
  const names = clause.trim()
  if (/^type\b/.test(names)) return true
  const braces = /^\{(.*)\}$/s.exec(names)?.[1]
  if (braces === undefined) return false
  const parts = braces.split(',').map(part => part.trim())
  return parts.every(part => part === '' || part.startsWith('type '))
}
