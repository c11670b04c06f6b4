export { encodeReplyTo, parseReplyTo, type ReplyAddress } from './address.js'
export { decodeReply, encodeReply, type Outcome, type Reply, repliesTopic } from './reply.js'
export { ReplySender, type ReplySenderOptions } from './sender.js'
