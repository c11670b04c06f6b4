import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { isWeirError } from '../../kernel/index.js'
import {
  type ConfigInputs,
  describeConfig,
  durationOf,
  loadConfig,
  numberOf,
  optionalTextOf,
  settings,
  textOf,
  unknownVariables,
} from './index.js'

const folder = mkdtempSync(join(tmpdir(), 'weir-config-'))
after(() => rmSync(folder, { recursive: true, force: true }))
let files = 0

function file(yaml: string): string {
  const path = join(folder, `${++files}.yaml`)
  writeFileSync(path, yaml)
  return path
}

const load = (inputs: Partial<ConfigInputs>) => loadConfig({ flags: {}, env: {}, file: file(''), ...inputs })

const refused = (inputs: Partial<ConfigInputs>, message: RegExp): void => {
  assert.throws(
    () => load(inputs),
    error => isWeirError(error, 'USAGE') && message.test(error.message),
  )
}

describe('configuration', () => {
  it('is the default, then the file, then the environment, then a flag', () => {
    const yaml = file('http:\n  port: 1\n  host: "::1"\nmodel: none\n')
    const config = load({ file: yaml, env: { WEIR_HTTP_PORT: '2', WEIR_MODEL: 'b.onnx' }, flags: { port: '3' } })
    assert.deepEqual(config.get('http.port'), { value: 3, source: 'flag' })
    assert.deepEqual(config.get('model'), { value: 'b.onnx', source: 'environment' })
    assert.deepEqual(config.get('http.host'), { value: '::1', source: 'file' })
    assert.deepEqual(config.get('app'), { value: 'fraud', source: 'default' })
    assert.deepEqual(config.get('rules'), { value: undefined, source: 'default' })
    assert.equal(numberOf(config, 'http.port'), 3)
    assert.equal(textOf(config, 'app'), 'fraud')
    assert.equal(optionalTextOf(config, 'rules'), undefined)
  })

  it('an empty variable is one that is not set', () => {
    assert.deepEqual(load({ env: { WEIR_APP: '' } }).get('app'), { value: 'fraud', source: 'default' })
  })

  it('refuses what no setting is called, naming it', () => {
    refused({ file: file('prot: 1\n') }, /unknown setting 'prot'/)
    refused({ file: file('http:\n  prot: 1\n') }, /unknown setting 'http\.prot'/)
    refused({ file: file('http: 8080\n') }, /unknown setting 'http'/)
    refused({ file: file('- http\n') }, /is not a mapping/)
    refused({ file: file('text\n') }, /is not a mapping/)
  })

  it('refuses values of another type or range, naming the place', () => {
    refused({ file: file('http:\n  port: high\n') }, /http\.port is "high", not a whole number from 0 to 65535/)
    refused({ env: { WEIR_HTTP_PORT: '65536' } }, /WEIR_HTTP_PORT is "65536"/)
    refused({ flags: { 'write-back-records': '0' } }, /--write-back-records is "0"/)
    refused({ flags: { 'memory-budget': '512' } }, /--memory-budget is "512", not a size such as 512m or 2g/)
    refused({ flags: { port: '1e3' } }, /--port is "1e3"/)
    refused({ file: file('write_back_records: 1.5\n') }, /write_back_records is 1\.5/)
    refused({ file: file('app: 12\n') }, /app is not text/)
    refused({ file: file('app: ~\n') }, /app is not text/)
  })

  it('takes durations with their unit', () => {
    for (const [text, ms] of [
      ['250ms', 250],
      ['90s', 90_000],
      ['5m', 300_000],
      ['12h', 43_200_000],
      ['7d', 604_800_000],
      ['forever', Number.POSITIVE_INFINITY],
    ] as const) {
      assert.equal(durationOf(load({ env: { WEIR_RETENTION_TRANSACTIONS: text } }), 'retention.transactions'), ms)
    }
    assert.equal(durationOf(load({}), 'retention.decisions'), 67 * 86_400_000)
    for (const wrong of ['7', '7 d', '1w', '-1d', '1.5d', 'ever', '1234567890d']) {
      refused({ flags: { 'retention-labels': wrong } }, /--retention-labels is ".*", not a duration such as 90s/)
    }
    refused({ file: file('retention:\n  labels: 7\n') }, /retention\.labels is 7, not a duration/)
  })

  it('refuses a file that is not there when it was asked for, and one that is no YAML', () => {
    refused({ file: join(folder, 'none.yaml') }, /cannot read/)
    refused({ file: file('a: [1\n') }, /USAGE: .*\.yaml: /)
  })

  it('masks secrets, wherever they come from', () => {
    for (const inputs of [{}, { env: { WEIR_CARD_KEY: 'hush' } }, { file: file('card_key: hush\n') }]) {
      const shown = describeConfig(load(inputs))
      assert.equal(shown.find(row => row.key === 'card_key')?.value, '***')
      assert.doesNotMatch(JSON.stringify(shown), /hush|development-card-key/)
    }
  })

  it('knows misspelt variables from those that are for others', () => {
    const env = { WEIR_HTTP_PROT: '1', WEIR_APP: 'a', WEIR_TOKEN: 't', WEIR_SETUP_SYSTEM: '1', PATH: '/' }
    assert.deepEqual(unknownVariables(env), ['WEIR_HTTP_PROT'])
  })

  it('has for each setting a key, a variable and a flag of its own', () => {
    for (const name of ['key', 'env', 'flag'] as const) {
      assert.equal(new Set(settings.map(setting => setting[name])).size, settings.length)
    }
  })
})
