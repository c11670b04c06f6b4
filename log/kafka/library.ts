/**
 * `@platformatic/kafka`, loaded when Kafka is first used: importing it takes a second. Only its connections (TLS, SASL,
 * framing), its checksum and two decompressors are used; requests, records and their errors are ours.
 */
type Library = typeof import('@platformatic/kafka')

export type { Connection } from '@platformatic/kafka'

export interface KafkaLibrary extends Library {
  /** CRC-32C: native where the optional package is installed (7 GB/s measured), else WebAssembly (1.7 GB/s). */
  readonly checksum: (bytes: Buffer) => number
}

let loading: Promise<KafkaLibrary> | undefined

export function loadLibrary(): Promise<KafkaLibrary> {
  loading ??= load()
  return loading
}

async function load(): Promise<KafkaLibrary> {
  addWithResolvers()
  const library = await import('@platformatic/kafka')
  // A reader's buffer, because a plain one would be copied first.
  return { ...library, checksum: bytes => library.crc32c(library.Reader.from(bytes).buffer) }
}

interface Resolvers<T> {
  promise: Promise<T>
  resolve: (value: T | PromiseLike<T>) => void
  reject: (reason?: unknown) => void
}

/** Node 20 lacks Promise.withResolvers, which the library's connections call. */
function addWithResolvers(): void {
  if ('withResolvers' in Promise) return
  Object.defineProperty(Promise, 'withResolvers', {
    configurable: true,
    writable: true,
    value: function withResolvers<T>(this: PromiseConstructor): Resolvers<T> {
      const resolvers: Partial<Resolvers<T>> = {}
      // biome-ignore lint/complexity/useArrowFunction: subclasses construct themselves
      const promise = new this<T>(function (resolve, reject) {
        resolvers.resolve = resolve
        resolvers.reject = reject
      })
      return { ...resolvers, promise } as Resolvers<T>
    },
  })
}
