/**
 * Checkpoints and savepoints as a version of Weir has left them, for all later versions to read: one of the fraud topology, one of
 * state of every kind. Made once, by `make-fixtures.ts`, and never again: a change of format gets a folder of its own.
 */
import { defined, repositoryFile, systemClock } from '../../../kernel/index.js'
import { Catalogue, type CheckpointStore, readSavepoint, savepointSegments } from '../../../state/index.js'
import { compile, type Plan } from '../../../topology/index.js'
import { lookAt, type StoredState } from '../look.js'
import { saveCheckpoints } from '../savepoint.js'
import { Fold, fraudTopology, history, startMs } from './fold.js'
import { kinds, readings } from './kinds.js'

export const fixturesFolder = (version: string): string => repositoryFile(`runners/checkpoints/fixtures/${version}`)
export const savepointName = 'kept'

/** The features of then: those that are bundled may change. */
export const featuresFile = (version: string): string => `${fixturesFolder(version)}/features.json`

const apps = {
  fraud: { topology: (version: string) => fraudTopology(featuresFile(version)), sent: () => history(2) },
  kinds: { topology: () => kinds(), sent: () => readings(startMs) },
}

/** What the tests look at, in this order. */
export interface Expected {
  readonly app: keyof typeof apps
  readonly from: 'checkpoint' | 'savepoint'
  readonly step: string
  readonly key: string
  /** As `weir state get --json --show-pii`. */
  readonly shown: unknown
}

export const planOf = (version: string, app: Expected['app']): Plan => compile(apps[app].topology(version).graph)

/** @param version whose features file is there @param directory for spools */
export async function makeFixtures(
  version: string,
  store: CheckpointStore,
  directory: string,
): Promise<readonly Expected[]> {
  const expected: Expected[] = []
  for (const app of ['fraud', 'kinds'] as const) {
    const sent = apps[app].sent()
    const fold = await Fold.start(apps[app].topology(version), 1, 1, {
      store,
      directory: `${directory}/${app}`,
      everyMs: 4 * 86_400_000,
    })
    await fold.send(sent)
    await fold.close()
    await saveCheckpoints(store, {
      app,
      name: savepointName,
      clock: systemClock,
      onUnusable: (name, why) => {
        throw new Error(`${name}: ${why}`)
      },
    })
    const keys = [...new Set(sent.flatMap(({ key, value }) => [key, ...terminalOf(value)]))].sort()
    const steps = fold.plan.steps.filter(node => node.kind === 'operator' && node.spec.stateful)
    for (const from of ['checkpoint', 'savepoint'] as const) {
      for (const { name: step } of steps) {
        for (const key of keys)
          expected.push({ app, from, step, key, shown: await shownIn(version, store, { app, from, step, key }) })
      }
    }
  }
  return expected
}

const terminalOf = (value: object): string[] => ('terminal_id' in value ? [String(value.terminal_id)] : [])

export async function shownIn(
  version: string,
  store: CheckpointStore,
  { app, from, step, key }: Omit<Expected, 'shown'>,
): Promise<unknown> {
  return await lookAt(await storedIn(store, app, from), planOf(version, app), { step, key }, { showPii: true })
}

export async function storedIn(store: CheckpointStore, app: string, from: Expected['from']): Promise<StoredState> {
  if (from === 'savepoint') {
    const { savepoint } = await readSavepoint(store, app, savepointName)
    const { manifest } = defined(savepoint.parts[0], 'the part of its slot')
    return { catalogue: savepointSegments(store, app, savepointName, 0), manifest, steps: savepoint.steps }
  }
  const catalogue = new Catalogue(store, app, 0)
  for await (const found of catalogue.newestFirst()) {
    if ('error' in found) throw found.error
    return { catalogue, manifest: found.manifest, steps: found.manifest.facts?.steps }
  }
  throw new Error(`${app} has no checkpoint`)
}
