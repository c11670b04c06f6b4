export { JsonNode, parseJsonDocument, readJsonDocument } from './json-node.js'
