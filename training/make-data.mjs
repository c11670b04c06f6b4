// The bundled model's training data: simulated, seeded, the same bytes everywhere. node training/make-data.mjs OUTPUT.csv

import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { generate, handbookCsvHeader, toHandbookCsvLine } from '../dist/fraud/generate/index.js'

const path = process.argv[2]
if (path === undefined) {
  console.error('usage: node training/make-data.mjs OUTPUT.csv')
  process.exit(2)
}
const chunkCharsMax = 1 << 20
const out = createWriteStream(path)
let chunk = `${handbookCsvHeader}\n`
for (const transaction of generate({ seed: 20240101, customers: 5_000, terminals: 10_000, days: 120 })) {
  chunk += `${toHandbookCsvLine(transaction)}\n`
  if (chunk.length < chunkCharsMax) continue
  if (!out.write(chunk)) await once(out, 'drain')
  chunk = ''
}
out.end(chunk)
await once(out, 'finish')
