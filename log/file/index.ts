export { FileLog, type FileLogOptions } from './file-log.js'
export type { InputOptions, InputProgress } from './input.js'
