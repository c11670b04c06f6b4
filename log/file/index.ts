export { FileLog, type FileLogOptions } from './file-log.js'
export { type InputOptions, type InputProgress, readHeader } from './input.js'
