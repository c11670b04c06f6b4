/** Bytes as lines, for NDJSON that comes in chunks of any length. */
import { WeirError } from '../../kernel/index.js'

const lineBytesMax = 1 << 20
const newline = 0x0a

/** Lines without their ends; a last one without an end counts, an empty one does not. @throws WeirError MALFORMED_RECORD */
export async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let rest: Buffer[] = []
  let restBytes = 0
  for await (const chunk of chunks) {
    let from = 0
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, from)) {
      const piece = chunk.subarray(from, end)
      from = end + 1
      const line = restBytes === 0 ? piece : Buffer.concat([...rest, piece])
      rest = []
      restBytes = 0
      if (line.length > 0) yield line
    }
    if (from === chunk.length) continue
    rest.push(chunk.subarray(from))
    restBytes += chunk.length - from
    if (restBytes > lineBytesMax) throw new WeirError('MALFORMED_RECORD', `a line is longer than ${lineBytesMax} bytes`)
  }
  if (restBytes > 0) yield Buffer.concat(rest)
}
