/** Ports for services that are told their port and bind it seconds later. */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Below the ranges from which Linux (32768) and macOS (49152) take the ports of outgoing connections: a port that the system
 * hands out as free may be taken by a connection before a service that takes seconds to start binds it.
 */
const from = 10_240
const to = 32_768
const attemptsMax = 100

/** A port that nobody listens on now; others are as likely to pick it as any of 22,000. */
export async function servicePort(): Promise<number> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const port = randomInt(from, to)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port between ${from} and ${to}`)
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  server.listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false
    throw error
  }
  server.close()
  await once(server, 'close')
  return true
}
