/**
 * Logs go to stderr, so that stdout stays for data: JSON lines, or short ones for a person on a terminal.
 *
 * Invariant: no personal data. What is logged of a request is its id, route, status and duration; of an error its name,
 * code and the places it came through, not its text, which may name an id.
 */
import { type DestinationStream, type Logger, pino } from 'pino'
import { isWeirError } from '../kernel/index.js'

export type { Logger }

export interface LoggerOptions {
  /** fatal, error, warn, info (default), debug or silent; debug has a line for each request. */
  readonly level?: string
  /** Where lines go; stderr by default. */
  readonly to?: DestinationStream
  /** Short lines for a person; by default when stderr is a terminal. */
  readonly plain?: boolean
}

export function createLogger(options: LoggerOptions = {}): Logger {
  const { level = 'info', plain = process.stderr.isTTY === true } = options
  const to = options.to ?? pino.destination({ dest: 2, sync: true })
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
    },
    plain ? { write: line => to.write(plainLine(line)) } : to,
  )
}

/** What the web framework has to say by itself: warnings and worse, of requests and errors only what is allowed here. */
export function frameworkLogger(logger: Logger): Logger {
  const hidden = (): undefined => undefined
  const level = logger.isLevelEnabled('warn') ? 'warn' : logger.level
  return logger.child({}, { level, serializers: { err: describeError, req: hidden, res: hidden } })
}

/** An error without its text. */
export function describeError(error: unknown): Readonly<Record<string, unknown>> {
  if (!(error instanceof Error)) return { name: typeof error }
  const places = error.stack?.split('\n').filter(line => /^\s+at /.test(line))
  return {
    name: error.name,
    ...(isWeirError(error) ? { code: error.code } : {}),
    at: places?.slice(0, 12).map(place => place.trim()),
  }
}

/** `12:00:01 info  listening url=http://…` */
function plainLine(line: string): string {
  const { time, level, msg, ...rest } = JSON.parse(line) as Readonly<Record<string, unknown>>
  const fields = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  return `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${[msg ?? '', ...fields].join(' ')}\n`
}
