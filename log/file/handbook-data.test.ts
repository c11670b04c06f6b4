import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { millis } from '../../kernel/index.js'
import { handbookCsv, RecordError } from '../../schemas/avro/index.js'
import { offset } from '../port.js'
import { FileLog } from './file-log.js'

const handbook = process.env.WEIR_HANDBOOK_DIR

test('the published 60 days: every line is a record', {
  skip: handbook === undefined ? 'WEIR_HANDBOOK_DIR is not set: the published data is not here' : false,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'weir-handbook-'))
  try {
    const log = await FileLog.open({
      input: { path: join(handbook!, 'handbook-raw-60d.csv.gz'), topic: 'transactions', hasHeader: true },
      outputs: new Map(),
      journal: { topic: 'epochs', path: join(directory, 'journal') },
    })
    const decoder = handbookCsv(log.header())
    const reader = await log.reader([{ topic: 'transactions', partition: 0, offset: offset(0) }])
    let records = 0
    let amountMinor = 0
    let fraud = 0
    while (!reader.finished) {
      for (const batch of await reader.poll({ recordsMax: 2_000, bytesMax: 1 << 20, waitMsMax: millis(0) })) {
        for (let i = 0; i < batch.count; i++) {
          const record = decoder.decode(batch.bytes, batch.valueStart[i]!, batch.valueEnd[i]!)
          if (record instanceof RecordError) assert.fail(`line ${records + 2}: ${record.message}`)
          assert.equal(record.transaction_id, String(records))
          amountMinor += record.amount_minor
          if (record.inline_label === 'fraud') fraud++
          records++
        }
      }
    }
    assert.equal(records, 575_755)
    // sums by awk over the same columns
    assert.equal(amountMinor, 3_085_510_858)
    assert.equal(fraud, 4_263)
    assert.equal(log.progress().bytesRead, log.progress().bytesTotal)
    await log.close()
  } finally {
    rmSync(directory, { recursive: true })
  }
})
