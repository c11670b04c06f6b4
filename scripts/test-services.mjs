/**
 * Services that the files of one test run have in common (testing/services/shared.ts): started when the first file asks, in
 * this process, so that they outlive the file; they end with the run, however it ends (testing/services/process.ts).
 */

import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './setup.mjs'

const started = new Map()

const load = () => import(pathToFileURL(join(root, 'dist/testing/services/index.js')))

const starts = {
  kafka: async () => {
    const kafka = await (await load()).startKafka()
    return { value: kafka.brokers, stop: kafka.stop }
  },
  registry: async () => {
    const registry = await (await load()).startRegistry()
    return { value: registry.url, stop: registry.stop }
  },
}

/** Answers a test file's `{ wants: service }` with `{ service, value }`, or `{ service, error }` when it does not start. */
export async function provideService({ wants: service }, answer) {
  if (!started.has(service)) started.set(service, starts[service]())
  try {
    answer({ service, value: (await started.get(service)).value })
  } catch (error) {
    answer({ service, error: error.stack })
  }
}

export async function stopServices() {
  for (const service of started.values()) {
    const running = await service.catch(() => undefined)
    await running?.stop()
  }
}
