/**
 * Keeps the status page up to date: asks /v1/status every second while the page is visible, and makes rates of the totals of
 * two answers. Text goes in as text only: nothing that came from a client is ever markup.
 */
const pollMs = 1000
const answerMsMax = 5000

const element = id => document.getElementById(id)
const made = (name, text) => Object.assign(document.createElement(name), { textContent: text })

const whole = new Intl.NumberFormat('en')
const short = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const score = new Intl.NumberFormat('en', { minimumFractionDigits: 3, maximumFractionDigits: 3 })

let before

function duration(ms) {
  const seconds = Math.floor(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
}

/** What a total grew by, a second; a total that fell belongs to a process that started again. */
function rate(status, name) {
  if (before === undefined || status[name] < before[name]) return '–'
  const ms = status.now_ms - before.now_ms
  return ms > 0 ? `${short.format(((status[name] - before[name]) * 1000) / ms)} / s` : '–'
}

function setHealth(state, text) {
  const health = element('health')
  if (health.textContent === text) return
  health.dataset.state = state
  health.textContent = text
}

/** Keeps the elements that are there, so that a reader's place and selection stay. */
function showPairs(id, pairs) {
  const list = element(id)
  while (list.children.length > pairs.length) list.lastElementChild.remove()
  while (list.children.length < pairs.length) {
    const group = made('div', '')
    group.append(made('dt', ''), made('dd', ''))
    list.append(group)
  }
  pairs.forEach(([name, value], i) => {
    const [dt, dd] = list.children[i].children
    if (dt.textContent !== name) dt.textContent = name
    if (dd.textContent !== value) dd.textContent = value
  })
}

function row(decision) {
  const tr = made('tr', '')
  const outcome = made('td', decision.provisional ? `${decision.outcome} (provisional)` : decision.outcome)
  outcome.dataset.outcome = decision.outcome
  const number = made('td', decision.score === undefined ? '–' : score.format(decision.score))
  number.className = 'number'
  tr.append(
    made('td', decision.decided_at.slice(11, 23)),
    made('td', decision.transaction_id),
    outcome,
    made('td', decision.outcome_source),
    number,
    made('td', decision.risk_level.replaceAll('_', ' ')),
  )
  return tr
}

let shown = ''

function showRecent(recent) {
  const key = JSON.stringify(recent)
  if (key === shown) return
  shown = key
  element('recent').replaceChildren(...recent.map(row))
  element('no-recent').hidden = recent.length > 0
  element('example').hidden = recent.length > 0
  document.querySelector('table').hidden = recent.length === 0
}

function factText(value) {
  return typeof value === 'number' ? whole.format(value) : value
}

function show(status) {
  if (status.ready) setHealth('ready', 'Ready')
  else setHealth('not-ready', `Not ready: ${status.reasons.join('; ')}`)
  const latency = status.latency_ms
  showPairs('rates', [
    ['Decisions over HTTP', rate(status, 'decisions_total')],
    ['Requests', rate(status, 'requests_total')],
    ['Turned away', rate(status, 'refused_total')],
    ['Median latency', latency === null ? '–' : `${short.format(latency.p50)} ms`],
    ['99th percentile', latency === null ? '–' : `${short.format(latency.p99)} ms`],
    ['Waiting', `${whole.format(status.in_flight)} of ${whole.format(status.in_flight_max)}`],
    ['Decisions since start', whole.format(status.decisions_total)],
    ['Up for', duration(status.up_ms)],
  ])
  showRecent(status.recent)
  showPairs(
    'facts',
    Object.entries(status.facts).map(([name, value]) => [name.replaceAll('_', ' '), factText(value)]),
  )
  before = status
}

async function poll() {
  try {
    const response = await fetch('/v1/status', { signal: AbortSignal.timeout(answerMsMax) })
    if (response.ok) show(await response.json())
    else setHealth('lost', `The status is not to be had: ${response.status} ${response.statusText}`)
  } catch {
    // the page outlives the process; it says so and keeps asking
    setHealth('lost', 'No answer from Weir; still asking')
    before = undefined
  }
}

async function run() {
  for (;;) {
    if (!document.hidden) await poll()
    await new Promise(resolve => setTimeout(resolve, pollMs))
  }
}

const example = {
  transaction_id: 't-1',
  event_time: new Date().toISOString(),
  customer_id: 'c-1',
  terminal_id: 'terminal-1',
  amount_minor: 1250,
  currency: 'EUR',
}
element('example').textContent =
  `curl -s ${location.origin}/v1/decisions -H 'content-type: application/json' -d '${JSON.stringify(example)}'`
run()
