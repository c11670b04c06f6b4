/**
 * Which folder may import which (design §8). A row names everything that is allowed; what is below a folder's own row is
 * always allowed to itself. `types of X` allows erased imports only.
 */
const below = {
  schemas: ['kernel'],
  ports: ['schemas', 'kernel'],
  operators: ['state', 'schemas', 'kernel'],
  scoring: ['operators', 'state', 'schemas', 'kernel'],
  topology: ['scoring', 'operators', 'state', 'types of log', 'schemas', 'kernel'],
}
const engine = ['topology', 'scoring', 'operators', 'state', 'log', 'sinks', 'schemas', 'kernel']

export const layers: Readonly<Record<string, readonly string[]>> = {
  kernel: [],
  schemas: below.schemas,
  log: below.ports,
  state: below.ports,
  operators: below.operators,
  scoring: below.scoring,
  topology: below.topology,
  sinks: ['log', ...below.ports],
  fraud: ['topology', ...below.topology],
  edge: ['types of log', ...below.ports],
  console: [],
  // The slot is the engine's heart: it must live without the application.
  'runners/slot': engine,
  runners: ['runners/slot', 'fraud', 'edge', 'console', ...engine],
  testing: ['runners/slot', 'runners', ...engine],
  benchmarks: ['testing', 'runners/slot', 'runners', 'fraud', 'edge', ...engine],
  examples: ['index.ts', 'testing', 'runners/slot', 'runners', 'fraud', 'edge', ...engine],
  // The package's public entry.
  'index.ts': ['runners/slot', ...engine],
}

/** What tests may import on top of their folder's row. */
export const alsoInTests = ['testing', 'runners/slot', ...engine]

/**
 * Sub-folders that stand side by side: adapters of one port, families of operators. None imports another of its group, so
 * that each can be added, replaced or deleted alone.
 */
export const siblings: readonly (readonly string[])[] = [
  ['log/file', 'log/memory', 'log/embedded', 'log/kafka', 'log/conformance'],
  ['operators/basic', 'operators/dedupe', 'operators/exchange', 'operators/process', 'operators/velocity'],
]

/** Files at which something starts: everything else must be reachable from one of them, or from a test. */
export const entries: readonly RegExp[] = [
  /^index\.ts$/,
  /^testing\/index\.ts$/,
  /^runners\/cli\/main\.ts$/,
  /^benchmarks\/main\.ts$/,
  /^benchmarks\/http\.ts$/,
  /^benchmarks\/kafka\.ts$/,
  /^benchmarks\/kafka-log\.ts$/,
  /^benchmarks\/recovery\.ts$/,
  /^benchmarks\/takeover\.ts$/,
  /^benchmarks\/state\.ts$/,
  /^runners\/worker\/thread\.ts$/,
  /^runners\/checkpoints\/testing\/make-fixtures\.ts$/,
  /^testing\/simulation\/main\.ts$/,
  /^testing\/kill\/main\.ts$/,
  /^testing\/chaos\/main\.ts$/,
  /^examples\/[^/]+\.ts$/,
]

/** The layer that a path belongs to: the longest row that it lies in; undefined for a folder that has no row yet. */
export function layerOf(path: string): string | undefined {
  return Object.keys(layers)
    .filter(layer => path === layer || path.startsWith(`${layer}/`))
    .sort((a, b) => b.length - a.length)[0]
}

export const topFolderOf = (path: string): string => path.split('/')[0]!
