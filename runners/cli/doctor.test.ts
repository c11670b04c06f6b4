import assert from 'node:assert/strict'
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { repositoryFile } from '../../kernel/index.js'
import { errorLine, weir } from '../replay/testing/cli.js'
import { startUp, temporaryFolder } from './testing/up.js'

interface Finding {
  readonly check: string
  readonly status: string
  readonly what: string
  readonly advice: string
}

/** All configured here, nothing from where the tests run. */
async function doctor(flags: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const ended = await weir(['doctor', '--json', ...flags], { cwd: temporaryFolder(), env })
  const findings = JSON.parse(ended.stdout) as Finding[]
  return { code: ended.code, of: (check: string) => findings.find(found => found.check === check)!, findings }
}

describe('weir doctor', () => {
  it('finds nothing wrong where nothing is, and creates nothing', async () => {
    const cwd = temporaryFolder()
    const env = { WEIR_CARD_KEY: 'a key of our own' }
    const [ended, { findings }] = await Promise.all([
      weir(['doctor', '--port', '0'], { cwd, env }),
      doctor(['--port', '0']),
    ])
    assert.deepEqual([ended.code, ended.stderr], [0, ''])
    const lines = ended.stdout.trimEnd().split('\n')
    assert.ok(lines.length >= 9)
    for (const line of lines) assert.match(line, /^ok {4}\S/)
    assert.deepEqual(readdirSync(cwd), [])
    assert.equal(findings.filter(found => found.status === 'warn').length, 1)
    assert.match(findings.find(found => found.status === 'warn')!.advice, /WEIR_CARD_KEY/)
  })

  it('looks at brokers and registry where they are configured', async () => {
    const env = { WEIR_KAFKA_BROKERS: '127.0.0.1:1', WEIR_SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1' }
    const [nowhere, none] = await Promise.all([doctor(['--port', '0'], env), doctor(['--port', '0'])])
    assert.deepEqual(
      [nowhere.code, nowhere.of('kafka').status, nowhere.of('schema registry').status],
      [1, 'fail', 'fail'],
    )
    assert.match(nowhere.of('kafka').what, /^KAFKA_UNAVAILABLE/)
    assert.match(nowhere.of('schema registry').what, /^REGISTRY_UNREACHABLE/)
    assert.deepEqual([none.of('kafka'), none.of('schema registry')], [undefined, undefined])
  })

  it('tells a port that another program has, even one that speaks HTTP', async () => {
    const server = createServer((_, response) => response.end('{}'))
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    after(() => server.close())
    const { port } = server.address() as AddressInfo
    const { code, of } = await doctor([], { WEIR_HTTP_PORT: String(port) })
    assert.deepEqual([code, of('port').status], [1, 'fail'])
    assert.match(of('port').advice, /--port/)
  })

  it('knows a running Weir, and that it has the directory; somewhere else that is a fault', async () => {
    const up = await startUp(['--model', 'none'])
    const { port } = new URL(up.url)
    const [here, elsewhere] = await Promise.all([
      doctor(['--port', port, '--data-dir', up.dataDir]),
      doctor(['--port', '0', '--data-dir', up.dataDir]),
    ])
    assert.deepEqual([here.code, here.of('port').status, here.of('owner').status], [0, 'ok', 'ok'])
    assert.match(here.of('port').what, /a Weir answers/)
    assert.deepEqual([elsewhere.code, elsewhere.of('owner').status], [1, 'fail'])
    // once it has stopped the directory is opened, and Weir starts on it as before
    assert.equal((await up.stop()).code, 0)
    const stopped = await doctor(['--port', '0', '--data-dir', up.dataDir])
    assert.deepEqual([stopped.code, stopped.of('owner').status, stopped.of('clock').status], [0, 'ok', 'ok'])
  })

  it('tells a data directory that is none, and a model whose hash is another', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'file')
    writeFileSync(file, '')
    assert.equal((await doctor(['--port', '0', '--data-dir', join(file, 'below')])).of('data directory').status, 'fail')
    const model = join(folder, 'm.onnx')
    copyFileSync(repositoryFile('fraud/models/handbook-gbdt.onnx'), model)
    const contract = readFileSync(repositoryFile('fraud/models/handbook-gbdt.json'), 'utf8')
    writeFileSync(join(folder, 'm.json'), contract.replace(/"sha256": "[0-9a-f]{4}/, '"sha256": "0000'))
    const { code, of } = await doctor(['--port', '0', '--model', model])
    assert.deepEqual([code, of('model').status, of('onnxruntime').status], [1, 'fail', 'warn'])
  })

  it('refuses a configuration that is none in one line', async () => {
    const cwd = temporaryFolder()
    writeFileSync(join(cwd, 'weir.config.yaml'), 'htpp:\n  port: 1\n')
    const ended = await weir(['doctor'], { cwd })
    assert.equal(ended.code, 2)
    assert.match(errorLine(ended), /^USAGE: weir\.config\.yaml has an unknown setting 'htpp\.port'/)
  })
})
