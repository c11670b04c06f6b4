export { FileLog, type FileLogOptions } from './file-log.js'
export { type InputOptions, type InputProgress, InputReader, readHeader } from './input.js'
