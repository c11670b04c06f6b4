/**
 * stdout of a command line: a reader that goes away (EPIPE) ends the command quietly; any other failure ends it with an
 * error.
 */
import { WeirError } from '../../kernel/index.js'

let gone = false
let watched = false
let onGone: () => void = () => {}

/** True once nobody reads stdout any longer. */
export const stdoutIsGone = (): boolean => gone

/** The listener stays: EPIPE may be reported after the verb has ended. @param stop called when the reader has gone */
export function watchStdout(stop: () => void): void {
  onGone = stop
  if (watched) return
  watched = true
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') {
      // nothing can be told on stdout any longer, and what was printed is incomplete
      process.stderr.write(`${new WeirError('OUTPUT_UNWRITABLE', `stdout: ${error.message}`).message}\n`)
      process.exit(1)
    }
    gone = true
    onGone()
  })
}

/** Resolves when stdout takes more, at once when nobody reads it any longer. */
export function writeToStdout(chunk: string | Uint8Array): Promise<void> {
  if (gone || process.stdout.write(chunk)) return written
  return new Promise(resolve => {
    const done = (): void => {
      for (const event of ends) process.stdout.removeListener(event, done)
      resolve()
    }
    for (const event of ends) process.stdout.on(event, done)
  })
}

const written = Promise.resolve()
const ends = ['drain', 'error', 'close'] as const

/** Control characters but line ends as \\u00XX: rules and ids must not speak to the terminal. */
export function printable(words: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return words.replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, character => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
