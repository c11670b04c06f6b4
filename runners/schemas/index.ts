export { readerWithSchemas, type SchemaReaderOptions } from './reader.js'
