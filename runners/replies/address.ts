/** Where an edge waits, as the header `weir.reply-to` says it: `<partition of decisions.replies>/<correlation id>`. */
import { assert } from '../../kernel/index.js'
import { replyToBytesMax } from '../slot/index.js'

export interface ReplyAddress {
  readonly partition: number
  /** Chosen by the edge; another edge that reads the same partition does not know it. */
  readonly id: string
}

export function encodeReplyTo({ partition, id }: ReplyAddress): Buffer {
  const bytes = Buffer.from(`${partition}/${id}`)
  assert(bytes.length <= replyToBytesMax, 'an address that slots look at')
  return bytes
}

/** undefined for what no edge of ours has written. */
export function parseReplyTo(text: string): ReplyAddress | undefined {
  const [, partition, id] = /^(\d{1,4})\/([\w-]{1,64})$/.exec(text) ?? []
  return partition === undefined || id === undefined ? undefined : { partition: Number(partition), id }
}
