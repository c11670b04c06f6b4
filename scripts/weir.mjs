#!/usr/bin/env node
/** The `weir` command: builds Weir when that was never done, then hands over to dist/runners/cli/main.js. */
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
