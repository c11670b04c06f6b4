/**
 * From rows to the transaction of an epoch: encoded sinks, dead letters, and the hash that the journal keeps of them.
 *
 * Invariant: the hash covers what the fold produced, never egress stamps (I3), so a recomputation can be held against it.
 */
import { createHash } from 'node:crypto'
import { positiveMurmur2 } from '../../kernel/index.js'
import { type Append, type AppendRecord, recordBytes } from '../../log/index.js'
import type { Row } from '../../operators/index.js'
import type { EgressStamp, RecordEncoder, SinkNode } from '../../topology/index.js'
import type { HopWriter } from './hops.js'
import type { DeadLetter } from './intake.js'
import { RecordFault } from './pipeline.js'

export interface DeadLetterFormat {
  readonly topic: string
  readonly encode: (letter: DeadLetter) => AppendRecord
}

export type StampOf = (row: Row) => EgressStamp

/** A sink's partitions, with one reused encoder for each. */
export class SinkWriter {
  readonly sink: SinkNode
  readonly #encoders: readonly RecordEncoder<unknown>[]
  readonly #keyOf: ((row: Row) => number) | undefined
  readonly #rows: Row[][]
  readonly #used: boolean[]

  /** @param partitions of the sink's topic; records go to murmur2(key) mod partitions */
  constructor(sink: SinkNode, partitions: number) {
    this.sink = sink
    this.#encoders = Array.from({ length: partitions }, () => sink.format.encoder())
    this.#keyOf = partitions > 1 ? row => partitionOf(sink, row, partitions) : undefined
    this.#rows = this.#encoders.map(() => [])
    this.#used = new Array<boolean>(partitions).fill(false)
  }

  /** @throws RecordFault for a row that the format cannot encode: formats may be a user's (I7) */
  encode(rows: readonly Row[], stampOf: StampOf): void {
    this.#used.fill(false)
    for (const encoder of this.#encoders) encoder.reset()
    for (const partitionRows of this.#rows) partitionRows.length = 0
    let i = 0
    try {
      for (; i < rows.length; i++) {
        const row = rows[i]!
        const partition = this.#keyOf === undefined ? 0 : this.#keyOf(row)
        this.#used[partition] = true
        this.#encoders[partition]!.append(row.value, row.at, stampOf(row))
        this.#rows[partition]!.push(row)
      }
    } catch (error) {
      throw new RecordFault(this.sink.name, rows[i]!, error)
    }
  }

  /** What the last epoch wrote, partition by partition, each in order. The bytes are valid until the next epoch. */
  forEach(visit: (row: Row, value: Buffer, partition: number) => void): void {
    this.#encoders.forEach((encoder, partition) => {
      if (!this.#used[partition]) return
      const { bytes, valueStart, valueEnd } = encoder.encoded()
      this.#rows[partition]!.forEach((row, i) => {
        visit(row, bytes.subarray(valueStart[i]!, valueEnd[i]!), partition)
      })
    })
  }

  /** Lets go of the last epoch's rows. */
  release(): void {
    for (const rows of this.#rows) rows.length = 0
  }

  appends(): Append[] {
    const appends: Append[] = []
    this.#encoders.forEach((encoder, partition) => {
      if (this.#used[partition]) appends.push({ topic: this.sink.topic, partition, records: encoder.encoded() })
    })
    return appends
  }

  get encoders(): readonly RecordEncoder<unknown>[] {
    return this.#encoders.filter((_, partition) => this.#used[partition])
  }
}

function partitionOf(sink: SinkNode, row: Row, partitions: number): number {
  return positiveMurmur2(Buffer.from(sink.format.keyOf(row.value))) % partitions
}

/** SHA-256 over every sink's bytes before egress stamps, every hop's, then the dead letters' positions and codes. */
export function hashOutputs(
  writers: readonly SinkWriter[],
  hops: readonly HopWriter[],
  deadLetters: readonly DeadLetter[],
): string {
  const hash = createHash('sha256')
  for (const writer of writers) for (const encoder of writer.encoders) encoder.hashInto(hash)
  for (const hop of hops) hop.hashInto(hash)
  for (const letter of deadLetters) {
    hash.update(`${letter.source.topic}/${letter.source.partition}/${letter.source.offset} ${letter.code}\n`)
  }
  return hash.digest('hex')
}

/**
 * Dead letters go to one partition each, by their source partition, so that their order there is the source's. One that the
 * topic cannot take would hold its slot up for ever: it is told without what it held.
 */
export function deadLetterAppends(
  format: DeadLetterFormat,
  letters: readonly DeadLetter[],
  to: { readonly deadLetterPartitions: number; readonly deadLetterBytesMax: number },
): Append[] {
  const byPartition = new Map<number, AppendRecord[]>()
  for (const letter of letters) {
    const partition = letter.source.partition % to.deadLetterPartitions
    const records = byPartition.get(partition) ?? []
    const whole = format.encode(letter)
    records.push(recordBytes(whole) <= to.deadLetterBytesMax ? whole : format.encode(withoutBytes(letter)))
    byPartition.set(partition, records)
  }
  return [...byPartition].map(([partition, records]) => ({ topic: format.topic, partition, records }))
}

function withoutBytes(letter: DeadLetter): DeadLetter {
  const bytes = (letter.key?.length ?? 0) + (letter.value?.length ?? 0)
  const message = `${letter.message}; its ${bytes} bytes are more than the topic of dead letters takes`
  return { ...letter, message, key: null, value: null, leftOut: true }
}
