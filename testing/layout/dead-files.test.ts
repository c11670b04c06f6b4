import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { entries } from './layers.js'
import { sourceFiles } from './source.js'

describe('files', () => {
  it('are all reachable from an entry or from a test', () => {
    const files = new Map(sourceFiles().map(file => [file.path, file]))
    const reached = new Set<string>()
    const waiting = [...files.keys()].filter(
      path => path.endsWith('.test.ts') || entries.some(entry => entry.test(path)),
    )
    for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
      if (reached.has(path)) continue
      reached.add(path)
      for (const { target } of files.get(path)?.imports ?? []) if (target !== undefined) waiting.push(target)
    }
    const dead = [...files.keys()].filter(path => !reached.has(path) && !path.endsWith('.d.ts'))
    assert.equal(dead.join('\n'), '', 'delete these, import them, or add an entry in testing/layout/layers.ts')
  })
})
