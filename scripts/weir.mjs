#!/usr/bin/env -S node --v8-pool-size=1 --min-semi-space-size=32 --max-semi-space-size=32
/**
 * The `weir` command: builds Weir when that was never done, then hands over to dist/runners/cli/main.js.
 *
 * The flags above (docs/performance.md has the figures): one helper thread for V8, since its usual four take every core of a
 * small machine from the slot while they mark; a young generation of 32 MB, so that an epoch's rows die young.
 * `npm start` and the Dockerfile repeat them, and a test compares.
 */
import './node-version.mjs'
import { existsSync } from 'node:fs'

const mainUrl = new URL('../dist/runners/cli/main.js', import.meta.url)

if (!existsSync(mainUrl)) {
  const { runSetup } = await import('./setup.mjs')
  await runSetup({ quiet: true })
}
if (process.exitCode === undefined && !existsSync(mainUrl)) {
  console.error('SETUP_FAILED: dist/runners/cli/main.js is missing after set-up; restore runners/cli/main.ts')
  process.exitCode = 1
}
if (process.exitCode === undefined) {
  const { main } = await import(mainUrl.href)
  // A number is the exit code; nothing leaves it to the command, which may keep running (weir up).
  const code = await main(process.argv.slice(2))
  if (typeof code === 'number') process.exitCode = code
}
