/**
 * Thrown by a state read that is not in memory. Only the engine catches it: it undoes the call, has the step load what
 * was missing, and calls the operator again with the same record.
 */
export class StateMiss extends Error {
  readonly load: () => Promise<void>

  constructor(what: string, load: () => Promise<void>) {
    super(`${what} is not in memory`)
    this.name = 'StateMiss'
    this.load = load
  }
}
