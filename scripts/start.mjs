/** `npm start`: set-up when it is missing or stale, then `weir up` with the flags given. One process, so that Ctrl-C reaches it. */
import './node-version.mjs'
import { runSetup } from './setup.mjs'

if (process.exitCode === undefined) await runSetup({ quiet: true })
if (process.exitCode === undefined) {
  process.argv.splice(2, 0, 'up')
  await import('./weir.mjs')
}
