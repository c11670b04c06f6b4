import assert from 'node:assert/strict'
import { posix } from 'node:path'
import { describe, it } from 'node:test'
import { alsoInTests, layerOf, layers, siblings, topFolderOf } from './layers.js'
import { type Import, parseSource, readText, type SourceFile, sourceFiles } from './source.js'

const files = sourceFiles()
const paths = new Set(files.map(file => file.path))
const packageJson = JSON.parse(readText('package.json')) as {
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
}

/** One line for each import that `complaint` finds fault with. */
function complaints(complaint: (file: SourceFile, target: string, found: Import) => string | undefined): string[] {
  return files.flatMap(file =>
    file.imports.flatMap(found => {
      const why = found.target === undefined ? undefined : complaint(file, found.target, found)
      return why === undefined ? [] : [`${file.path}:${found.line} imports ${found.specifier}: ${why}`]
    }),
  )
}

const none = (lines: readonly string[]): void => assert.equal(lines.join('\n'), '')

describe('imports', () => {
  it('name files that exist', () => {
    none(complaints((_, target) => (paths.has(target) ? undefined : 'no such .ts file (imports end in .js)')))
  })

  it('point down the layers of design §8; tests may also use the engine and testing/, never the application', () => {
    none(
      complaints((file, target, { typeOnly }) => {
        const from = layerOf(file.path)
        const to = layerOf(target)
        if (from === undefined) return `${topFolderOf(file.path)} has no row in testing/layout/layers.ts`
        if (to === undefined) return `${topFolderOf(target)} has no row in testing/layout/layers.ts`
        if (from === to) return undefined
        const allowed = file.isTest ? [...layers[from]!, ...alsoInTests] : layers[from]!
        if (allowed.includes(to) || (typeOnly && allowed.includes(`types of ${to}`))) return undefined
        return allowed.includes(`types of ${to}`)
          ? `${from} may import only types of ${to}`
          : `${from} must not import ${to}`
      }),
    )
  })

  it('enter another folder by an index.ts; tests may take helpers from testing/', () => {
    none(
      complaints((file, target) => {
        if (topFolderOf(file.path) === topFolderOf(target) || posix.basename(target) === 'index.ts') return undefined
        return file.isTest && topFolderOf(target) === 'testing' ? undefined : 'import from an index.ts'
      }),
    )
  })

  it('keep adapters and operator families apart', () => {
    none(
      complaints((file, target) => {
        if (file.isTest) return undefined
        for (const group of siblings) {
          const from = group.find(folder => file.path.startsWith(`${folder}/`))
          const to = group.find(folder => target.startsWith(`${folder}/`))
          if (from !== undefined && to !== undefined && from !== to) return `${from} must not know ${to}`
        }
        return undefined
      }),
    )
  })

  it('form no cycle, those aside that the compiler erases', () => {
    none(cycles(new Map(files.map(file => [file.path, loadedBy(file)]))))
  })

  it('of packages are declared: tests may use devDependencies, the rest only dependencies', () => {
    const { dependencies, devDependencies } = packageJson
    none(
      files.flatMap(file =>
        file.imports.flatMap(({ line, specifier, target }) => {
          if (target !== undefined || specifier.startsWith('node:')) return []
          const name = specifier
            .split('/')
            .slice(0, specifier.startsWith('@') ? 2 : 1)
            .join('/')
          if (name in dependencies || (file.isTest && name in devDependencies)) return []
          return [`${file.path}:${line} imports ${name}, which is not among its dependencies`]
        }),
      ),
    )
  })
})

/** The files that importing this one loads. */
const loadedBy = (file: SourceFile): string[] =>
  file.imports.flatMap(({ target, typeOnly }) => (target === undefined || typeOnly ? [] : [target]))

/** One line for each cycle met: a depth-first walk that sees a file again which is still on its path. */
function cycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const walk = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path)
    if (start !== -1) found.push([...trail.slice(start), path].join(' -> '))
    if (start !== -1 || done.has(path)) return
    for (const target of graph.get(path) ?? []) walk(target, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) walk(path, [])
  return found
}

describe('the reading of imports', () => {
  const importsOf = (text: string) => parseSource('a/b/c.test.ts', text).imports.map(found => ({ ...found }))

  it('sees every form', () => {
    const text = [
      "import './side.js'",
      "import type { A } from '../types.js'",
      "import { type B,\n  type C } from '../../d/index.js'",
      "import e, { type F } from './e.js'",
      "export { g } from './g.js'",
      "export * from './h.js'",
      "const i = await import('./i.js')",
      "import fc from 'fast-check'",
    ].join('\n')
    assert.deepEqual(importsOf(text), [
      { line: 1, specifier: './side.js', target: 'a/b/side.ts', typeOnly: false },
      { line: 2, specifier: '../types.js', target: 'a/types.ts', typeOnly: true },
      { line: 4, specifier: '../../d/index.js', target: 'd/index.ts', typeOnly: true },
      { line: 5, specifier: './e.js', target: 'a/b/e.ts', typeOnly: false },
      { line: 6, specifier: './g.js', target: 'a/b/g.ts', typeOnly: false },
      { line: 7, specifier: './h.js', target: 'a/b/h.ts', typeOnly: false },
      { line: 8, specifier: './i.js', target: 'a/b/i.ts', typeOnly: false },
      { line: 9, specifier: 'fast-check', target: undefined, typeOnly: false },
    ])
  })

  it('sees none where there is none', () => {
    const text = [
      "// import './a.js'",
      "/* import './b.js' */",
      'const c = "import \'./c.js\'"',
      `const d = \`\nimport './d.js'\n\${x ? \`import './e.js'\` : ''}\``,
      "export const f = './f.js'",
      "export type G = 'g' | 'h'",
      'const i = /["\']/.test(x) // a quote in a regular expression',
      "import { j } from './j.js'",
    ].join('\n')
    assert.deepEqual(
      importsOf(text).map(found => found.specifier),
      ['./j.js'],
    )
  })

  it('finds a cycle and names it', () => {
    const graph = new Map([
      ['a', ['b']],
      ['b', ['c', 'd']],
      ['c', ['a']],
      ['d', []],
    ])
    assert.deepEqual(cycles(graph), ['a -> b -> c -> a'])
  })

  it('finds the most specific layer', () => {
    assert.equal(layerOf('runners/slot/slot.ts'), 'runners/slot')
    assert.equal(layerOf('runners/cli/main.ts'), 'runners')
    assert.equal(layerOf('kernelx/a.ts'), undefined)
    assert.equal(layerOf('index.ts'), 'index.ts')
  })
})
