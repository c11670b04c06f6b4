/**
 * A log reader that hands out a poll only once the schemas of its records are known, so that decoding stays synchronous.
 * Live epochs, their second run and replay all read through it.
 *
 * Invariant: a registry that does not answer delays records and never changes what becomes of them (I7). Polling goes on
 * by itself when it answers again; the batches stay as they are, since no other poll is made meanwhile.
 */
import { type Clock, isWeirError, messageOf, millis, WeirError } from '../../kernel/index.js'
import type { LogReader } from '../../log/index.js'
import type { WriterSchemas } from '../../schemas/registry/index.js'

export interface SchemaReaderOptions {
  readonly schemas: WriterSchemas
  readonly clock: Clock
  /** Told each time that the registry did not answer, and with undefined when it does again. */
  readonly onUnreachable: (why: string | undefined) => void
}

const pauseMsMin = 100
const pauseMsMax = 5_000

/** @param reader is closed with the returned one */
export function readerWithSchemas(reader: LogReader, options: SchemaReaderOptions): LogReader {
  const { schemas, clock, onUnreachable } = options
  let closed = false
  return {
    poll: async limits => {
      const batches = await reader.poll(limits)
      for (let pauseMs = pauseMsMin; ; pauseMs = Math.min(pauseMs * 2, pauseMsMax)) {
        try {
          await schemas.prepare(batches)
          if (pauseMs > pauseMsMin) onUnreachable(undefined)
          return batches
        } catch (error) {
          if (!isWeirError(error, 'REGISTRY_UNREACHABLE')) throw error
          if (closed)
            throw new WeirError('REGISTRY_UNREACHABLE', 'the reader was closed while it waited', { cause: error })
          onUnreachable(messageOf(error))
          await clock.sleep(millis(pauseMs))
        }
      }
    },
    seek: position => reader.seek(position),
    positions: () => reader.positions(),
    get finished() {
      return reader.finished
    },
    close: () => {
      closed = true
      return reader.close()
    },
  }
}
