/** A file of transactions, line by line, as `weir produce` sends it. */
import { millis, WeirError } from '../../kernel/index.js'
import { InputReader, readHeader } from '../../log/file/index.js'
import { offset } from '../../log/index.js'
import { type ArrivedTransaction, RecordError } from '../../schemas/avro/index.js'
import type { SourceFormat } from '../../topology/index.js'
import { fileKind, inputFormat } from '../replay/index.js'

export interface InputJob {
  readonly input: string
  readonly format: 'handbook' | 'transactions'
  /** Of Handbook amounts. */
  readonly currency: string
  /** Key of the tokens that stand for card numbers. */
  readonly cardKey: string
}

export interface InputTransaction {
  /** Physical, 1-based. */
  readonly line: number
  readonly record: ArrivedTransaction
  /** The line; valid until the next run is asked for. */
  readonly bytes: Buffer
}

/** What became of the lines, as far as they were read. */
export interface LineCounts {
  lines: number
  blank_lines: number
  malformed: number
}

const pollLimits = { recordsMax: 512, bytesMax: 1 << 20, waitMsMax: millis(0) }

export class InputFile {
  readonly bytesTotal: number
  /** The lines are Weir's own JSON: they can be sent as they are. */
  readonly isOwnJson: boolean
  readonly #reader: InputReader
  readonly #format: SourceFormat<ArrivedTransaction>
  readonly #firstLine: number

  private constructor(
    job: InputJob,
    isCsv: boolean,
    { header, bytesTotal }: { readonly header: string; readonly bytesTotal: number },
  ) {
    this.bytesTotal = bytesTotal
    this.isOwnJson = job.format === 'transactions' && !isCsv
    this.#format = inputFormat(job, isCsv ? header : undefined)
    this.#firstLine = isCsv ? 2 : 1
    this.#reader = new InputReader({ path: job.input, topic: 'transactions', hasHeader: isCsv }, offset(0))
  }

  /** @throws WeirError INPUT_UNREADABLE, INVALID_CURRENCY */
  static async open(job: InputJob): Promise<InputFile> {
    const isCsv = fileKind(job.input) === 'csv'
    return new InputFile(job, isCsv, await readHeader({ path: job.input, topic: 'transactions', hasHeader: isCsv }))
  }

  get bytesRead(): number {
    return this.#reader.bytesRead
  }

  /**
   * The transactions of the file in runs; counts each line, and tells of those that are none.
   * @param report for people: `line 3: CODE: what`
   */
  async *runs(counts: LineCounts, report: (line: string) => void): AsyncGenerator<readonly InputTransaction[]> {
    while (!this.#reader.finished) {
      const run: InputTransaction[] = []
      for (const batch of await this.#reader.poll(pollLimits)) {
        for (let i = 0; i < batch.count; i++) {
          const line = Number(batch.baseOffset) + batch.offsetDelta[i]! + this.#firstLine
          const [start, end] = [batch.valueStart[i]!, batch.valueEnd[i]!]
          counts.lines++
          const record = this.#format.decode(batch.bytes, start, end)
          if (record === null) counts.blank_lines++
          else if (record instanceof RecordError) {
            counts.malformed++
            report(`line ${line}: ${record.code}: ${record.message}`)
          } else run.push({ line, record, bytes: batch.bytes.subarray(start, end) })
        }
      }
      yield run
    }
  }

  close(): Promise<void> {
    return this.#reader.close()
  }
}

/** The record as its topic holds it: its label is a record of its own. */
export function withoutLabel({
  inline_label: _,
  ...transaction
}: ArrivedTransaction): Omit<ArrivedTransaction, 'inline_label'> {
  return transaction
}

export function interrupted({ lines }: LineCounts): WeirError {
  return new WeirError('INTERRUPTED', `stopped after ${lines} lines`)
}
