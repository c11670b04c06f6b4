/**
 * Child processes of the scripts: each in a process group of its own, so that stopping one stops what it started.
 *
 * Invariants: 1. no child outlives a script that ends by SIGINT, SIGTERM or SIGHUP; 2. what is kept of a child's output is
 * bounded by `outputCharsMax` (the end is kept: that is where errors are).
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'

const outputCharsMax = 1_000_000
const stopMsMax = 5_000

const running = new Set()

/**
 * Runs a command without standard input and resolves when it has ended and its output is closed.
 * @param options.timeoutMs after which the whole group is killed
 * @param options.onStart called with the pid
 * @param options.onMessage gives the child an IPC channel; called with each message and a function that answers it
 * @returns code (null after a signal), signal, output (stdout and stderr as they came), timedOut, and error when the command
 *   could not be started at all
 */
export function runChild([command, ...args], { cwd, env = process.env, timeoutMs, onStart, onMessage } = {}) {
  return new Promise(resolve => {
    const stdio = ['ignore', 'pipe', 'pipe', ...(onMessage === undefined ? [] : ['ipc'])]
    const child = spawn(command, args, { cwd, env, detached: true, stdio })
    let output = ''
    let timedOut = false
    let timer
    const collect = text => {
      output += text
      if (output.length > 2 * outputCharsMax) output = output.slice(-outputCharsMax)
    }
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)
    child.once('error', error => {
      clearTimeout(timer)
      running.delete(child)
      resolve({ code: null, signal: null, error, output, timedOut })
    })
    child.once('exit', () => {
      // What the command itself left running would hold the output open for ever.
      signalGroup(child, 'SIGKILL')
    })
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      running.delete(child)
      resolve({ code, signal, error: undefined, output, timedOut })
    })
    if (child.pid === undefined) return
    running.add(child)
    if (onMessage !== undefined) {
      // A child that has ended meanwhile needs no answer.
      const answer = message => child.connected && child.send(message, () => {})
      child.on('message', message => onMessage(message, answer))
    }
    onStart?.(child.pid)
    if (timeoutMs === undefined) return
    timer = setTimeout(() => {
      timedOut = true
      signalGroup(child, 'SIGKILL')
    }, timeoutMs)
  })
}

/** Makes this process stop its children and then end when it is told to; call it once, at the start. */
export function stopChildrenOnSignals() {
  let stopping = false
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, async () => {
      const ended = [...running].map(child => new Promise(resolve => child.once('exit', resolve)))
      for (const child of running) signalGroup(child, stopping ? 'SIGKILL' : 'SIGTERM')
      if (stopping) return
      stopping = true
      const patience = setTimeout(() => {
        for (const child of running) signalGroup(child, 'SIGKILL')
      }, stopMsMax)
      await Promise.all(ended)
      clearTimeout(patience)
      process.exit(128 + constants.signals[signal])
    })
  }
}

function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal)
  } catch (error) {
    // Nobody is left in the group; macOS says EPERM while its members wait to be reaped.
    if (error.code !== 'ESRCH' && error.code !== 'EPERM') throw error
  }
}
