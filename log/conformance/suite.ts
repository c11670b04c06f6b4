/** How the suite's tests are registered: each gets a fresh log, and is skipped with a reason where a feature lacks. */
import { after, describe, it } from 'node:test'
import type { Append } from '../port.js'
import type { LogFeature, LogUnderTest } from './harness.js'

export interface Context extends LogUnderTest {
  /** Creates the topic, where the log can, and names it. */
  topic(partitions: number): Promise<string>
  /** Puts records into the log and returns once readers can see them. */
  put(...appends: readonly Append[]): Promise<void>
}

export interface Suite {
  test(name: string, needs: readonly LogFeature[], body: (context: Context) => Promise<void>): void
}

/** Runs `define` with a suite over `makeLog`. A test that needs what the log lacks is skipped with the log's reason. */
export function suite(name: string, makeLog: () => Promise<LogUnderTest>, define: (suite: Suite) => void): void {
  describe(name, () => {
    const open = new Set<LogUnderTest>()
    after(async () => {
      for (const made of open) await made.dispose()
    })
    let topics = 0
    define({
      test(title, needs, body) {
        it(title, async t => {
          const made = await makeLog()
          open.add(made)
          const reason = needs.map(feature => made.lacks?.[feature]).find(Boolean)
          if (reason === undefined) await body(contextOf(made, () => `conformance-${topics++}`))
          await made.dispose()
          open.delete(made)
          if (reason !== undefined) t.skip(reason)
        })
      },
    })
  })
}

function contextOf(made: LogUnderTest, nextName: () => string): Context {
  return {
    ...made,
    async topic(partitions) {
      const name = nextName()
      await made.log.createTopic(name, partitions)
      return name
    },
    async put(...appends) {
      if (made.write !== undefined) return made.write(appends)
      const committer = await made.log.committer('conformance-writer')
      await committer.commit(appends)
      await committer.close()
    },
  }
}
