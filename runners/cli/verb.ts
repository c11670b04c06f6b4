/** What a verb of `weir` is. One file a verb; main.ts finds it in the table and prints its errors. */
import { type ParseArgsConfig, parseArgs } from 'node:util'
import { messageOf, WeirError } from '../../kernel/index.js'

export type OptionTable = NonNullable<ParseArgsConfig['options']>

export interface VerbIo {
  readonly out: (text: string) => void
  /** Like `out`, for output without end: resolves when stdout takes more, at once when nobody reads it any longer. */
  readonly write: (chunk: string | Uint8Array) => Promise<void>
  readonly err: (text: string) => void
  /** stderr is a terminal: a progress bar may redraw its line. */
  readonly interactive: boolean
  /** Aborted by Ctrl-C, SIGTERM, or a reader of stdout that has gone (`| head`). */
  readonly signal: AbortSignal
}

export interface Verb {
  readonly name: string
  /** Shown by --help, with an example. */
  readonly help: string
  /** @returns exit code: 0 done, 1 failed; wrong usage throws USAGE */
  run(args: readonly string[], io: VerbIo): Promise<number>
}

/** Until the verb is told to stop. */
export function aborted(io: VerbIo): Promise<void> {
  if (io.signal.aborted) return Promise.resolve()
  return new Promise(resolve => io.signal.addEventListener('abort', () => resolve(), { once: true }))
}

export type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

/** Parses a verb's flags. @throws WeirError USAGE */
export function parseFlags(args: readonly string[], options: OptionTable): Values {
  return parseArguments(args, options, []).values
}

/**
 * Parses flags and what stands without one, in any order; after `--` a value may begin with a dash.
 * @param names of the values without flags, all of which must be there, for messages
 * @param optional how many more there may be
 * @returns `operands`: one for each name, none of them empty, and what else there is
 * @throws WeirError USAGE
 */
export function parseArguments(
  args: readonly string[],
  options: OptionTable,
  names: readonly string[],
  optional = 0,
): { readonly values: Values; readonly operands: readonly string[] } {
  let parsed: { values: unknown; positionals: string[] }
  try {
    parsed = parseArgs({ args: [...args], options, strict: true, allowPositionals: true })
  } catch (error) {
    throw new WeirError('USAGE', messageOf(error).split('\n')[0] ?? '')
  }
  const operands = parsed.positionals
  const missing = names.find((_, i) => (operands[i] ?? '') === '')
  if (missing !== undefined) throw new WeirError('USAGE', `${missing} is missing`)
  const extra = operands[names.length + optional]
  if (extra !== undefined) throw new WeirError('USAGE', `unexpected argument '${extra}'`)
  return { values: parsed.values as Values, operands }
}

export function text(values: Values, name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

export function required(values: Values, name: string): string {
  const value = text(values, name)
  if (value === undefined || value === '') throw new WeirError('USAGE', `--${name} is missing`)
  return value
}

/** A whole number within bounds. @throws WeirError USAGE */
export function wholeNumber(
  values: Values,
  name: string,
  bounds: { min: number; max: number; fallback: number },
): number {
  const value = text(values, name)
  if (value === undefined) return bounds.fallback
  const number = Number(value)
  if (!/^\d+$/.test(value) || number < bounds.min || number > bounds.max) {
    throw new WeirError('USAGE', `--${name} is '${value}', not a whole number from ${bounds.min} to ${bounds.max}`)
  }
  return number
}

/** One of a few words. @throws WeirError USAGE */
export function oneOf<T extends string>(values: Values, name: string, words: readonly T[], fallback: T): T {
  const value = text(values, name)
  if (value === undefined) return fallback
  const found = words.find(word => word === value)
  if (found === undefined) throw new WeirError('USAGE', `--${name} is '${value}', not one of ${words.join(', ')}`)
  return found
}
