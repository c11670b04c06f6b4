export type { Authenticate, AuthReply, AuthRequest } from './authenticate.js'
export { createEdge, type Edge, type EdgeOptions } from './edge.js'
export { defaultLimits, type EdgeLimits } from './limits.js'
export { createLogger, type Logger, type LoggerOptions } from './logger.js'
export { openApiDocument } from './openapi.js'
export type {
  DecideReply,
  DecisionJson,
  DecisionPort,
  EdgePorts,
  FindReply,
  HealthPort,
  StatePort,
  StreamPort,
} from './ports.js'
