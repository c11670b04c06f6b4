/** A running `weir up` of its own, in a process of its own, on a free port and in a new directory. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { startWeir } from '../../replay/testing/cli.js'

export interface Up {
  readonly url: string
  readonly dataDir: string
  /** SIGTERM, and waits for the end. */
  stop(): Promise<{ readonly code: number | null; readonly stderr: string }>
}

/** Also a place for files of a test, removed after it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-cli-'))
  after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

/** Stopped with the test, suite or file that calls this. */
export async function startUp(flags: readonly string[] = []): Promise<Up> {
  const up = await launchUp(flags, join(temporaryFolder(), 'data'))
  after(up.stop)
  return up
}

/** The caller stops it. @param cwd where flags name files from; default that of the test */
export async function launchUp(flags: readonly string[], dataDir: string, cwd?: string): Promise<Up> {
  const args = ['up', '--port', '0', '--data-dir', dataDir, ...flags]
  const running = startWeir(args, cwd === undefined ? {} : { cwd })
  const stop: Up['stop'] = () => {
    running.child.kill('SIGTERM')
    return running.ended
  }
  const url = await new Promise<string>((resolve, reject) => {
    let text = ''
    running.child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const found = /ready at (http:\S+)\n/.exec(text)
      if (found !== null) resolve(found[1]!)
    })
    running.ended.then(({ code, stderr }) => reject(new Error(`weir up ended with ${code}: ${stderr}`)), reject)
  })
  return { url, dataDir, stop }
}
