/** `weir rescale`: which flags go together is said before anybody is asked. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { rescaleVerb, say } from './rescale.js'
import type { VerbIo } from './verb.js'

const said = (args: string): Promise<unknown> => rescaleVerb.run(args.split(' '), {} as VerbIo)

for (const [args, message] of [
  ['--json', /one of --slots, --close and --reopen is needed/],
  ['--slots 2 --close', /--slots and --close exclude each other/],
  ['--slots 2 --reopen', /--slots and --reopen exclude each other/],
  ['--close --reopen', /--close and --reopen exclude each other/],
  ['--slots 0', /--slots is '0'/],
  ['--close --from a', /--from belongs to --slots;/],
  ['--close --drop terminal', /--drop belongs to --slots;/],
  ['--reopen --name a', /--name belongs to --slots and --close;/],
  ['--reopen --rename a=b', /--rename belongs to --slots;/],
  ['--slots 2 --rename a', /--rename 'a' is not OLD=NEW/],
  ['--slots 2 --from a --name b', /--from .* --name/],
] as const) {
  it(`refuses ${args}`, () => assert.rejects(said(args), { code: 'USAGE', message }))
}

it('says what goes on in a slot while decisions pause: how long it takes yet, and what is wrong', () => {
  let told = ''
  const io = {
    err: (line: string) => {
      told += line
    },
  }
  for (const event of [
    { kind: 'replaying', epochs: 10, ofEpochs: 40, leftMs: 3_210 },
    { kind: 'checkpoint-unusable', name: 'a-checkpoint', message: 'torn' },
    { kind: 'registry', answers: false },
    { kind: 'recovering', reason: 'start' },
  ] as const) {
    say(io, { kind: 'slot', slot: 2, event })
  }
  assert.match(
    told,
    /^\S+ info {2}folding .* slot=2 epochs=10 of_epochs=40 seconds_left=3\.2\n\S+ warn {2}a checkpoint cannot be used; .*checkpoint=a-checkpoint reason=torn\n\S+ warn {2}the schema registry does not answer; .*\n$/,
  )
})
