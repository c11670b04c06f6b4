/** docker-compose.kafka.yml as far as it can be judged without Docker: names, versions, and commands that exist. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { parse } from 'yaml'
import { repositoryFile } from '../../kernel/index.js'
import { settings } from '../../runners/config/index.js'
import { pinnedArtifacts } from '../services/artifacts.js'

interface Service {
  readonly image?: string
  readonly build?: string
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly volumes?: readonly string[]
  readonly ports?: readonly string[]
}

const text = readFileSync(repositoryFile('docker-compose.kafka.yml'), 'utf8')
const compose = parse(text, { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes: Readonly<Record<string, unknown>>
}
const services = Object.entries(compose.services)
const ownServices = services.filter(([, service]) => service.build !== undefined)

describe('docker-compose.kafka.yml', () => {
  it('sets only variables of Weir that exist', () => {
    const known = new Set<string>(settings.map(({ env }) => env))
    for (const [name, { environment = {} }] of ownServices) {
      assert.ok('WEIR_KAFKA_BROKERS' in environment, name)
      const unknown = Object.keys(environment).filter(variable => !known.has(variable))
      assert.deepEqual(unknown, [], name)
    }
  })

  it('calls verbs and flags of Weir that exist', () => {
    for (const [name, { command }] of ownServices) {
      const [verb, ...args] = command ?? []
      assert.ok(verb !== undefined, name)
      const help = execFileSync(process.execPath, [repositoryFile('scripts/weir.mjs'), verb, '--help'], {
        encoding: 'utf8',
      })
      const listed = new Set([...help.matchAll(/--[a-z-]+/g)].map(([flag]) => flag))
      for (const flag of args.filter(arg => arg.startsWith('--'))) assert.ok(listed.has(flag), `${verb} ${flag}`)
    }
  })

  it('names services and volumes that it declares, and addresses of them', () => {
    for (const [name, { depends_on = {}, volumes = [], environment = {} }] of services) {
      for (const other of Object.keys(depends_on)) assert.ok(other in compose.services, `${name} needs ${other}`)
      for (const volume of volumes) assert.ok(volume.split(':')[0]! in compose.volumes, `${name}: ${volume}`)
      const { WEIR_KAFKA_BROKERS: brokers, WEIR_SCHEMA_REGISTRY_URL: url } = environment
      if (brokers !== undefined)
        assert.match(
          compose.services.kafka?.environment?.KAFKA_ADVERTISED_LISTENERS ?? '',
          new RegExp(`INSIDE://${brokers}`),
        )
      if (url !== undefined) assert.ok(new URL(url).hostname in compose.services)
    }
  })

  it('has the versions that the tests run with', () => {
    const versionOf = (name: string): string | undefined =>
      pinnedArtifacts(name)
        .map(({ path }) => /\/(?:kafka_2\.13|apicurio-registry-app)\/([^/]+)\//.exec(path)?.[1])
        .find(version => version !== undefined)
    assert.equal(compose.services.kafka?.image, `apache/kafka:${versionOf('kafka')}`)
    assert.equal(compose.services.registry?.image?.split(':')[1], versionOf('registry'))
  })

  it('builds with a Dockerfile that starts the command', () => {
    const dockerfile = readFileSync(repositoryFile('Dockerfile'), 'utf8')
    assert.match(dockerfile, /^ENTRYPOINT \["node", .*"scripts\/weir\.mjs"\]$/m)
    assert.match(dockerfile, /^FROM node:22/m)
  })
})
