/**
 * Blanks what is not code. It knows TypeScript's lexical forms well enough for this tree: a slash starts a regular
 * expression where a value is expected, which the last character of code before it tells.
 */
const valueExpectedAfter = /(?:^|[([{,;:=!&|?+\-*%<>~^]|\b(?:return|typeof|case|in|of|await|yield|throw|else))$/

/** `text` with comments and the contents of literals replaced by blanks, line breaks kept. */
export function maskLiterals(text: string): string {
  const out: string[] = []
  /** Open braces inside each template expression that we are in, innermost last. */
  const templates: number[] = []
  let at = 0
  const keep = (count: number): void => {
    out.push(text.slice(at, at + count))
    at += count
  }
  const blankTo = (end: number): void => {
    out.push(text.slice(at, end).replace(/[^\n]/g, ' '))
    at = end
  }
  /** From just behind the opening delimiter to just behind the closing one. */
  const literal = (end: number): void => {
    blankTo(Math.max(at, end - 1))
    keep(1)
  }
  const template = (): void => {
    const end = templateStop(text, at)
    blankTo(end)
    if (text.startsWith('${', end)) {
      keep(2)
      templates.push(0)
    } else {
      keep(1)
    }
  }
  while (at < text.length) {
    const char = text[at]!
    const depth = templates.at(-1)
    if (text.startsWith('//', at)) {
      blankTo(endOr(text.indexOf('\n', at), text))
    } else if (text.startsWith('/*', at)) {
      blankTo(endOr(text.indexOf('*/', at + 2), text, 2))
    } else if (char === "'" || char === '"') {
      keep(1)
      literal(quoteEnd(text, at, char))
    } else if (char === '`') {
      keep(1)
      template()
    } else if (char === '}' && depth === 0) {
      templates.pop()
      keep(1)
      template()
    } else if (char === '/' && valueExpectedAfter.test(lastCode(out))) {
      keep(1)
      literal(regexEnd(text, at))
    } else {
      if (depth !== undefined && char === '{') templates[templates.length - 1] = depth + 1
      if (depth !== undefined && char === '}') templates[templates.length - 1] = depth - 1
      keep(1)
    }
  }
  return out.join('')
}

const endOr = (index: number, text: string, past = 0): number => (index === -1 ? text.length : index + past)

/** Position behind the quote that closes a string whose contents start at `from`. */
function quoteEnd(text: string, from: number, quote: string): number {
  let at = from
  while (at < text.length && text[at] !== quote && text[at] !== '\n') at += text[at] === '\\' ? 2 : 1
  return Math.min(at + 1, text.length)
}

/** Position of the backtick or `${` that ends a run of template text. */
function templateStop(text: string, from: number): number {
  let at = from
  while (at < text.length && text[at] !== '`' && !text.startsWith('${', at)) at += text[at] === '\\' ? 2 : 1
  return Math.min(at, text.length)
}

function regexEnd(text: string, from: number): number {
  let at = from
  let inClass = false
  while (at < text.length && text[at] !== '\n' && (inClass || text[at] !== '/')) {
    if (text[at] === '[') inClass = true
    if (text[at] === ']') inClass = false
    at += text[at] === '\\' ? 2 : 1
  }
  return Math.min(at + 1, text.length)
}

/** The end of the code so far, without blanks: enough of it to see a keyword. */
function lastCode(out: readonly string[]): string {
  let tail = ''
  for (let i = out.length - 1; i >= 0 && tail.length < 12; i--) {
    tail = out[i]! + tail
    if (tail.trim() === '') tail = ''
    else tail = tail.trimEnd()
  }
  return tail
}
