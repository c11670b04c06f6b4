export { Load, type LoadOptions } from './load.js'
