/**
 * The one table of errors. Every error that a user can meet has a row here and a section in docs/errors.md
 * (a test compares both ways). `WeirError` is for the world; `assert` is for our own bugs.
 */

export type ErrorDomain = 'data' | 'user' | 'external' | 'internal'
export type RetryHint = 'never' | 'backoff' | 'restart'

export interface ErrorEntry {
  readonly domain: ErrorDomain
  readonly retry: RetryHint
  /** What the reader of the message can do about it. */
  readonly advice: string
}

const entry = (domain: ErrorDomain, retry: RetryHint, advice: string): ErrorEntry => ({ domain, retry, advice })

export const errorTable = {
  // records: each of these ends as a dead letter, or as 400 over HTTP
  MALFORMED_RECORD: entry('data', 'never', 'send one complete record in a documented format'),
  INVALID_ENCODING: entry('data', 'never', 'send valid UTF-8'),
  RECORD_TOO_LARGE: entry('data', 'never', 'keep a record within 64 KB'),
  MISSING_FIELD: entry('data', 'never', 'send every field that is not optional'),
  INVALID_ID: entry('data', 'never', 'use 1 to 64 characters without control characters'),
  INVALID_AMOUNT: entry('data', 'never', 'use 0 to 10^15 minor units with no more decimals than the currency has'),
  INVALID_EVENT_TIME: entry(
    'data',
    'never',
    'use a real date from 1970 to one day ahead of the log (files: before 2100)',
  ),
  INVALID_FIELD: entry('data', 'never', 'send the type and range that the schema states'),
  INVALID_CURRENCY: entry('data', 'never', 'use an ISO 4217 code'),
  INVALID_LABEL: entry('data', 'never', 'use 0, 1 or nothing for tx_fraud; fraud or legitimate for a label'),
  UNKNOWN_SCHEMA: entry('data', 'never', 'register the schema before records are written with it'),
  INCOMPATIBLE_SCHEMA: entry('data', 'never', 'write with a schema that ours can read by the rules of Avro'),
  OPERATOR_EXCEPTION: entry(
    'internal',
    'never',
    'see the log for the step that threw; mend it and send the record again',
  ),
  // topologies
  DUPLICATE_STEP: entry('user', 'never', 'give every step a name of its own'),
  INVALID_STEP_NAME: entry('user', 'never', 'use lower-case letters, digits, dots and dashes, 1 to 60 of them'),
  DUPLICATE_FEATURE: entry('user', 'never', 'give every feature a name of its own'),
  UNKEYED_STATE: entry('user', 'never', 'put keyBy before a step that keeps state'),
  STATE_AFTER_SCORE: entry(
    'user',
    'never',
    'keep state before score: a score is not in the log, so state must not depend on it (I3)',
  ),
  HOP_PATHS: entry('user', 'never', 'let all rows of a scored stream take the same way, or run it in one slot'),
  SECOND_SCORE: entry('user', 'never', 'score once in a topology; run a second model in a topology of its own'),
  UNKNOWN_MODEL: entry('user', 'never', 'register the model, or pass --model path/NAME.onnx with NAME.json beside it'),
  UNKNOWN_TOPIC: entry('user', 'never', 'create the topic first: weir topics create'),
  UNKNOWN_FEATURE: entry('user', 'never', 'use a feature that an earlier step computes'),
  EMPTY_TOPOLOGY: entry('user', 'never', 'declare at least one source and one sink'),
  // models
  MODEL_CONTRACT: entry('user', 'never', 'make NAME.json, NAME.onnx and the feature set agree'),
  MODEL_FAILED: entry('internal', 'backoff', 'see the log; decisions go out degraded until the model answers again'),
  // rules, policies, feature sets
  INVALID_RULES: entry('user', 'never', 'mend the rule file at the place named'),
  INVALID_FEATURES: entry('user', 'never', 'mend the feature-set file at the place named'),
  INVALID_POLICY: entry('user', 'never', 'mend the policy file at the place named'),
  // state, journal, log
  DUPLICATE_STATE: entry('user', 'never', 'give every state of a step a name of its own'),
  STATE_KEY_TOO_LONG: entry('data', 'never', 'keep keys and sub-keys of state within 65,535 bytes'),
  UNKNOWN_STEP: entry('user', 'never', 'name one of the steps listed; weir describe shows the topology'),
  TIMER_LIMIT: entry('user', 'never', 'register fewer timers'),
  STATE_LIMIT: entry('user', 'never', 'keep fewer entries, give them a shorter ttl, or declare a larger entriesMax'),
  STATE_FORMAT: entry(
    'user',
    'never',
    'use the Weir version that wrote it, on a machine of the same type, or a newer one',
  ),
  HOP_CORRUPT: entry('external', 'never', 'restore the topic; Weir cannot tell which record is missing'),
  JOURNAL_CORRUPT: entry(
    'external',
    'never',
    'restore the journal from its replicas or a backup; Weir does not guess a position',
  ),
  JOURNAL_WITHOUT_GENESIS: entry('user', 'never', 'start from the genesis record or under a new application name'),
  HISTORY_TRIMMED: entry(
    'external',
    'never',
    'restore a checkpoint or a backup of the data directory; what came before was trimmed and cannot be folded again',
  ),
  PLAN_CLOSED: entry(
    'external',
    'backoff',
    'workers go on with the next plan by themselves; where none begins, give the same weir rescale again',
  ),
  FINGERPRINT_MISMATCH: entry(
    'user',
    'never',
    'use the features and the version that wrote it; weir rescale --close and --from change them',
  ),
  SLOT_FENCED: entry('external', 'restart', 'another owner has taken this slot; nothing to do'),
  COMMIT_INDEFINITE: entry('external', 'restart', 'nothing: the slot recovers from the committed position (I5)'),
  OFFSET_OUT_OF_RANGE: entry(
    'external',
    'never',
    'the log no longer has the position; restore a checkpoint or accept the loss explicitly',
  ),
  TOPIC_MISMATCH: entry('user', 'never', 'keep the partition count that the topic has; weir rescale changes slots'),
  LOG_CORRUPT: entry('external', 'never', 'restore the data directory from a backup; Weir does not skip records'),
  LOG_UNAVAILABLE: entry('external', 'backoff', 'nothing was taken; send it again a little later'),
  KAFKA_UNAVAILABLE: entry('external', 'backoff', 'check that the brokers run and can be reached from here'),
  KAFKA_REFUSED: entry(
    'user',
    'never',
    'mend what the broker refuses: credentials, access rights or the setting named',
  ),
  KAFKA_UNSUPPORTED: entry('user', 'never', 'use Kafka 2.8 or newer and its present message format'),
  MESSAGE_TOO_LARGE: entry('user', 'never', 'raise max.message.bytes of the topic, or write smaller records'),
  SCHEMA_CONFLICT: entry('user', 'never', 'mend the subject in the schema registry, or use another topic prefix'),
  REGISTRY_UNREACHABLE: entry('external', 'backoff', 'check the schema registry and its address'),
  QUEUE_FULL: entry('internal', 'backoff', 'send more slowly'),
  BACKEND_FAILED: entry('external', 'restart', 'check the disk below the data directory'),
  CHECKPOINT_CORRUPT: entry(
    'external',
    'never',
    'use an older checkpoint; weir checkpoint verify says which are whole',
  ),
  CHECKPOINT_STORE_FAILED: entry(
    'external',
    'backoff',
    'check the place of the checkpoints: that it can be reached, its access rights and free space',
  ),
  CHECKPOINT_KEY: entry(
    'user',
    'never',
    'give every key that checkpoints were encrypted with, the one that writes first; reencrypt renews what older keys wrote',
  ),
  SAVEPOINT_EXISTS: entry('user', 'never', 'use another name; savepoints are never replaced'),
  SAVEPOINT_NOT_FOUND: entry('user', 'never', 'see weir checkpoint list for the savepoints that there are'),
  SAVEPOINT_OPEN: entry('user', 'never', 'use one that a plan was closed into (weir rescale --close)'),
  STATE_INCOMPATIBLE: entry('user', 'never', 'keep the state as it is, or name what is to be dropped or renamed'),
  INVALID_STATE_SCHEMA: entry('user', 'never', 'mend the Avro schema of the state'),
  INVALID_KEYS: entry('user', 'never', 'make a key with: openssl rand -hex 32'),
  DIRECTORY_IN_USE: entry('user', 'never', 'stop the other process that uses this directory'),
  EPOCH_FAILED: entry('internal', 'restart', 'see the log; the epoch failed more often than the bound allows'),
  SLOT_ELSEWHERE: entry('user', 'never', 'ask the worker that runs the slot; /readyz lists the slots of each'),
  // http
  INVALID_REQUEST: entry('user', 'never', 'mend the errors listed; /openapi.json has the schemas'),
  UNAUTHENTICATED: entry('user', 'never', 'send valid credentials as Authorization: Bearer'),
  FORBIDDEN: entry('user', 'never', 'use credentials that allow this'),
  NOT_FOUND: entry('user', 'never', 'check the path and the id; a new transaction takes a moment to be decided'),
  METHOD_NOT_ALLOWED: entry('user', 'never', 'use one of the methods in the Allow header'),
  REQUEST_TIMEOUT: entry('external', 'backoff', 'send the whole request without pauses'),
  AMBIGUOUS_ID: entry('user', 'never', 'ask again with customer_id'),
  DECISION_EXPIRED: entry('user', 'never', 'use a new transaction_id, or keep decisions longer (retention.decisions)'),
  UNSUPPORTED_MEDIA_TYPE: entry('user', 'never', 'send application/json in UTF-8 without compression'),
  IDEMPOTENCY_MISMATCH: entry('user', 'never', 'use a new transaction_id for another payment'),
  NOT_READY: entry('internal', 'backoff', 'wait until /readyz answers 200'),
  LISTEN_FAILED: entry('user', 'never', 'stop the program that has the port, or choose another one'),
  INTERNAL_ERROR: entry('internal', 'backoff', 'search the log for the request id'),
  // command line and replay
  USAGE: entry('user', 'never', 'see weir VERB --help'),
  INPUT_UNREADABLE: entry('user', 'never', 'check the path, the format and that the file is complete'),
  OUTPUT_UNWRITABLE: entry('user', 'never', 'check the path, permissions and free space of the output'),
  REPLAY_MISMATCH: entry('user', 'never', 'run the same command over the same input, or start over with --fresh'),
  INTERRUPTED: entry('user', 'restart', 'give the same command again to go on from here'),
  UNREACHABLE: entry('external', 'backoff', 'start Weir with npm start, or name its address with --url'),
  NODE_TOO_OLD: entry('user', 'never', 'install Node.js 20.19 or newer'),
  SETUP_FAILED: entry('external', 'never', 'mend what the line names and run npm run setup again'),
  BUILD_FAILED: entry('user', 'never', 'mend the errors above and run it again'),
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof errorTable

/** An error that its reader can act on. Printed as `CODE: what happened; what to do`. */
export class WeirError extends Error {
  readonly code: ErrorCode
  readonly what: string

  /** @param what what happened, without the advice: the table has that */
  constructor(code: ErrorCode, what: string, options?: { cause?: unknown }) {
    super(`${code}: ${what}; ${errorTable[code].advice}`, options)
    this.name = 'WeirError'
    this.code = code
    this.what = what
  }

  get domain(): ErrorDomain {
    return errorTable[this.code].domain
  }

  get retry(): RetryHint {
    return errorTable[this.code].retry
  }
}

/** True for a WeirError, of that code where one is given. */
export function isWeirError(error: unknown, code?: ErrorCode): error is WeirError {
  return error instanceof WeirError && (code === undefined || error.code === code)
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
