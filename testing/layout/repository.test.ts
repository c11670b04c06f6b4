import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { describe, it } from 'node:test'
import { readText, root } from './source.js'

interface LockedPackage {
  readonly resolved?: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

describe('package-lock.json', () => {
  const text = readText('package-lock.json')
  const packages = (JSON.parse(text) as { packages: Record<string, LockedPackage> }).packages

  it('holds no addresses: a package comes from whatever registry its user has set', () => {
    const resolved = Object.keys(packages).filter(name => packages[name]?.resolved !== undefined)
    assert.equal(resolved.join('\n'), '', 'npm install with omit-lockfile-registry-resolved=true, as .npmrc says')
    assert.doesNotMatch(text, /localhost|http:|file:|git\+|127\.0\.0\.1/)
  })

  it('locks every package that another one asks for, also those of other platforms: npm ci refuses it otherwise', () => {
    const names = Object.keys(packages)
    const missing = names.flatMap(name => {
      const asked = { ...packages[name]?.dependencies, ...packages[name]?.optionalDependencies }
      return Object.keys(asked)
        .filter(wanted => !names.some(locked => locked.endsWith(`node_modules/${wanted}`)))
        .map(wanted => `${name || 'package.json'} asks for ${wanted}`)
    })
    assert.equal(missing.join('\n'), '')
  })
})

describe('tracked files', () => {
  // Put together from halves, so that this file does not hold what it looks for.
  const machinePaths = new RegExp(
    [
      '/ho' + 'me/[a-z]',
      '/Us' + 'ers/[A-Za-z]',
      '/ro' + 'ot/',
      '(?<![\\w.-])/wo' + 'rk/',
      '/tmp/' + 'bash',
      '[A-Z]:\\\\\\\\?Us' + 'ers',
    ].join('|'),
  )
  const skip = existsSync(`${root}/.git`) ? false : 'not a git checkout: git cannot say which files are tracked'

  it('name no path of a developer machine', { skip }, () => {
    const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0')
    const found = tracked
      .filter(path => path !== '' && statSync(`${root}/${path}`, { throwIfNoEntry: false })?.isFile())
      .flatMap(path => {
        const match = machinePaths.exec(readFileSync(`${root}/${path}`, 'latin1'))
        return match === null ? [] : [`${path}: ${match[0]}`]
      })
    assert.equal(found.join('\n'), '')
  })

  it('would be caught: the pattern knows such paths and spares others', () => {
    assert.match(`see ${'/ho'}me/anna/x`, machinePaths)
    assert.match(`"${'/wo'}rk/main"`, machinePaths)
    assert.doesNotMatch('a/work/b ./work/ https://example.org/users/x docs/rooted/', machinePaths)
  })
})
