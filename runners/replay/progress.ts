/** Progress on stderr: a bar that redraws itself on a terminal, a line every few seconds elsewhere. */

export interface Progress {
  update(doneBytes: number, totalBytes: number, records: number): void
  finish(): void
}

const barWidth = 30

/** @param name what the lines begin with */
export function createProgress(write: (text: string) => void, interactive: boolean, name = 'replay'): Progress {
  const startedAt = performance.now()
  const everyMs = interactive ? 200 : 5_000
  let shownAt = startedAt
  let drawn = false
  return {
    update: (doneBytes, totalBytes, records) => {
      const now = performance.now()
      if (now - shownAt < everyMs) return
      shownAt = now
      drawn = true
      const share = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes)
      const perSecond = Math.round(records / ((now - startedAt) / 1_000))
      const figures = `${(share * 100).toFixed(1).padStart(5)} %  ${records} records  ${perSecond}/s`
      const filled = Math.round(share * barWidth)
      write(
        interactive ? `\r[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${figures}` : `${name}: ${figures}\n`,
      )
    },
    finish: () => {
      if (interactive && drawn) write('\r\u001b[K')
    },
  }
}
