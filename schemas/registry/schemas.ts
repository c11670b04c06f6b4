/** Weir's own schemas, as the repository holds them. */
import { readFileSync } from 'node:fs'
import { repositoryFile } from '../../kernel/index.js'

export type SchemaName = 'transaction' | 'label' | 'decision'

/** As JSON text without what is for people only, so that a registry sees a change only where something changed. */
export function schemaText(name: SchemaName): string {
  const file = readFileSync(repositoryFile(`schemas/avro/${name}.avsc`), 'utf8')
  return JSON.stringify(JSON.parse(file), (key, value: unknown) => (key === 'doc' ? undefined : value))
}
