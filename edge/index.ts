export type { DecideReply, DecisionJson, DecisionPort, EdgePorts, FindReply, HealthPort } from './ports.js'
