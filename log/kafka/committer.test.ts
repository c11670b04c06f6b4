import assert from 'node:assert/strict'
import { it } from 'node:test'
import { type Clock, type DurationMs, isWeirError, systemClock } from '../../kernel/index.js'
import { kafkaMissing, startKafka } from '../../testing/services/index.js'
import { code } from './error-codes.js'
import { withKafka } from './kafka-for-tests.js'
import { append, valuesIn } from './records-for-tests.js'
import { endTransactionAnswer, type Fault, requestKey } from './request-proxy-for-tests.js'

const source = { missing: await kafkaMissing(), start: () => startKafka({ shared: true }) }

for (const transactions of ['auto', 'v1'] as const) {
  withKafka(`committer of the Kafka log, transactions ${transactions}`, source, tests => {
    const open = (changes = {}) => tests.open({ transactions, ...changes })
    const throughProxy = (changes = {}) => tests.openThroughProxy({ transactions, ...changes })

    for (const commitsBefore of [0, 1]) {
      it(`a zombie is fenced under the id whose turn it is, ${commitsBefore} commits before`, async () => {
        const prefix = tests.prefix()
        const [zombieLog, log] = [await open({ prefix }), await open({ prefix })]
        await log.createTopic('t', 2)
        const zombie = await zombieLog.committer('slot')
        for (let i = 0; i < commitsBefore; i++) await zombie.commit([append('t', 0, `z${i}`)])
        const owner = await log.committer('slot')
        await rejectsWith('SLOT_FENCED', zombie.commit([append('t', 0, 'never'), append('t', 1, 'never')]))
        await owner.commit([append('t', 0, 'owner')])
        await owner.commit([append('t', 0, 'owner again')])
        await rejectsWith('SLOT_FENCED', zombie.commit([append('t', 0, 'never')]))
        const before = Array.from({ length: commitsBefore }, (_, i) => `z${i}`)
        assert.deepEqual(await valuesIn(log, 't'), [...before, 'owner', 'owner again'])
      })
    }

    const indefinite: [string, number, Fault, boolean][] = [
      ['before a Produce', requestKey.produce, 'cutBefore', false],
      ['after a Produce', requestKey.produce, 'cutAfter', false],
      ['before EndTxn', requestKey.endTransaction, 'cutBefore', false],
      ['after EndTxn', requestKey.endTransaction, 'cutAfter', true],
    ]
    for (const [when, key, fault, committed] of indefinite) {
      it(`a connection cut ${when} leaves it open; the next owner finds ${committed ? 'all' : 'nothing'} of it`, async () => {
        const { log, proxy } = await throughProxy()
        await log.createTopic('t', 2)
        const committer = await log.committer('slot')
        await committer.commit([append('t', 0, 'before')])
        void proxy.next(key, fault)
        const lost = [append('t', 0, 'lost'), append('t', 1, 'lost')]
        await rejectsWith('COMMIT_INDEFINITE', committer.commit(lost))
        await rejectsWith('COMMIT_INDEFINITE', committer.commit(lost))
        const next = await log.committer('slot')
        await next.commit([append('t', 0, 'after')])
        await next.commit([append('t', 1, 'after')])
        const middle = committed ? ['lost'] : []
        assert.deepEqual(await valuesIn(log, 't', 0), ['before', ...middle, 'after'])
        assert.deepEqual(await valuesIn(log, 't', 1), [...middle, 'after'])
      })
    }

    it('partitions are added with one request, or with none where brokers add them', async () => {
      const { log, proxy } = await throughProxy()
      await log.createTopic('t', 24)
      const committer = await log.committer('slot')
      for (let round = 0; round < 4; round++) {
        await committer.commit(Array.from({ length: 24 }, (_, partition) => append('t', partition, `${round}`)))
      }
      const added = proxy.seen.get(requestKey.addPartitions) ?? 0
      // Asked again while the coordinator still writes the markers of the commit before the last: seldom, and never by partition.
      if (transactions === 'v1') assert.ok(added >= 4 && added < 24, `${added} requests`)
      else assert.equal(added, 0)
      // One Produce each: the retries that brokers ask for aside, no partition goes alone.
      assert.ok(proxy.seen.get(requestKey.produce)! >= 4)
      const values = await valuesIn(log, 't')
      assert.equal(values.length, 96)
    })

    it('what the coordinator cannot do yet is asked again: after a millisecond while markers are written', async () => {
      const pauses: number[] = []
      const sleep = (ms: DurationMs): Promise<void> => {
        pauses.push(ms)
        return systemClock.sleep(ms)
      }
      const clock: Clock = { ...systemClock, sleep }
      const { log, proxy } = await throughProxy({ clock })
      await log.createTopic('t', 1)
      const committer = await log.committer('slot')
      // Until the broker, which may be slow, knows topic and committer: what it asks to be asked again for that is no matter here.
      await committer.commit([append('t', 0, 'first')])
      for (const [answer, longest] of [
        [code.concurrentTransactions, 1],
        [code.coordinatorLoading, 10],
        [code.notCoordinator, 10],
        [code.coordinatorNotAvailable, 10],
      ] as const) {
        pauses.length = 0
        void proxy.next(requestKey.endTransaction, endTransactionAnswer(answer))
        await committer.commit([append('t', 0, `${answer}`)])
        assert.ok(pauses.includes(longest), `${pauses}`)
        assert.ok(
          pauses.every(ms => ms <= longest),
          `${pauses}`,
        )
      }
      assert.deepEqual(await valuesIn(log, 't'), ['first', '51', '14', '16', '15'])
    })

    const answers: [string, number, string][] = [
      ['fenced', code.producerFenced, 'SLOT_FENCED'],
      ['a bumped epoch', code.invalidProducerEpoch, 'SLOT_FENCED'],
      ['an unknown producer', 59, 'COMMIT_INDEFINITE'],
      ['an invalid state', 48, 'COMMIT_INDEFINITE'],
      ['an id that has expired', 49, 'COMMIT_INDEFINITE'],
      ['an error of the broker', -1, 'COMMIT_INDEFINITE'],
    ]
    for (const [what, answer, expected] of answers) {
      it(`EndTxn answered with ${what} is ${expected}, and the next owner goes on`, async () => {
        const { log, proxy } = await throughProxy()
        await log.createTopic('t', 1)
        const committer = await log.committer('slot')
        void proxy.next(requestKey.endTransaction, endTransactionAnswer(answer))
        await rejectsWith(expected, committer.commit([append('t', 0, 'lost')]))
        await rejectsWith(expected, committer.commit([append('t', 0, 'lost')]))
        await (await log.committer('slot')).commit([append('t', 0, 'after')])
        assert.deepEqual(await valuesIn(log, 't'), ['after'])
      })
    }

    it('fenced after an answer that confirmed nothing, the outcome is open', async () => {
      const { log, proxy } = await throughProxy()
      await log.createTopic('t', 1)
      const committer = await log.committer('slot')
      const met = proxy.next(requestKey.endTransaction, endTransactionAnswer(code.coordinatorNotAvailable))
      const again = met.then(() => proxy.next(requestKey.endTransaction, endTransactionAnswer(code.producerFenced)))
      await rejectsWith('COMMIT_INDEFINITE', committer.commit([append('t', 0, 'open')]))
      await again
    })

    it('splits what exceeds a batch, in order, and refuses a record that no batch holds before sending', async () => {
      const { log, proxy } = await throughProxy()
      await log.createTopic('small', 2, { config: { 'max.message.bytes': '20000' } })
      const committer = await log.committer('slot')
      const values = Array.from({ length: 300 }, (_, i) => `${i}`.padEnd(400, '.'))
      await committer.commit([append('small', 0, ...values), append('small', 1, 'one'), append('small', 0, 'last')])
      assert.deepEqual(await valuesIn(log, 'small', 0), [...values, 'last'])
      await committer.commit([append('small', 0, 'more')])
      const requests = proxy.seen.get(requestKey.produce)
      await rejectsWith(
        'MESSAGE_TOO_LARGE',
        committer.commit([append('small', 1, 'x'), append('small', 0, 'x'.repeat(20_000))]),
      )
      assert.equal(proxy.seen.get(requestKey.produce), requests)
      assert.deepEqual(await valuesIn(log, 'small', 1), ['one'])
    })

    it('closed during a commit, it ends at once and leaves the outcome to its next owner', async () => {
      const { log, proxy } = await throughProxy()
      await log.createTopic('t', 1)
      const committer = await log.committer('slot')
      const held = proxy.next(requestKey.endTransaction, 'hold')
      const committing = committer.commit([append('t', 0, 'lost')])
      committing.catch(() => {})
      await held
      await committer.close()
      await rejectsWith('COMMIT_INDEFINITE', committing)
      await (await log.committer('slot')).commit([append('t', 0, 'after')])
      assert.deepEqual(await valuesIn(log, 't'), ['after'])
    })

    it('refuses a second commit while one is under way', async () => {
      const log = await open()
      await log.createTopic('t', 1)
      const committer = await log.committer('slot')
      const first = committer.commit([append('t', 0, 'first')])
      await assert.rejects(committer.commit([append('t', 0, 'second')]), /one transaction at a time/)
      await first
      assert.deepEqual(await valuesIn(log, 't'), ['first'])
    })
  })
}

withKafka('producer of the Kafka log', source, tests => {
  it('an append whose answer is lost is reported, not sent again', async () => {
    const { log, proxy } = await tests.openThroughProxy()
    await log.createTopic('t', 1)
    await log.append([append('t', 0, 'before')])
    void proxy.next(requestKey.produce, 'cutAfter')
    await rejectsWith('COMMIT_INDEFINITE', log.append([append('t', 0, 'lost')]))
    await log.append([append('t', 0, 'after')])
    assert.deepEqual(await valuesIn(log, 't'), ['before', 'lost', 'after'])
  })

  it('appends of one moment share a request, within the bound of a batch', async () => {
    const { log, proxy } = await tests.openThroughProxy()
    await log.createTopic('t', 1, { config: { 'max.message.bytes': '20000' } })
    await log.append([append('t', 0, 'before')])
    const before = proxy.seen.get(requestKey.produce)!
    const values = Array.from({ length: 100 }, (_, i) => `${i}`.padEnd(400, '.'))
    const offsets = await Promise.all(values.map(value => log.append([append('t', 0, value)])))
    assert.deepEqual(
      offsets.map(([first]) => first),
      values.map((_, i) => BigInt(i + 1)),
    )
    assert.ok(proxy.seen.get(requestKey.produce)! - before <= 5, `${proxy.seen.get(requestKey.produce)} requests`)
    assert.deepEqual(await valuesIn(log, 't'), ['before', ...values])
  })

  it('batches of one moment go in one request, and none learns of what was said of another', async () => {
    const { log, proxy } = await tests.openThroughProxy()
    await log.createTopic('t', 2)
    // Takes no record without a key.
    await log.createTopic('compacted', 1, { config: { 'cleanup.policy': 'compact' } })
    await log.append([append('t', 0, 'a'), append('t', 1, 'b')])
    await rejectsWith('KAFKA_REFUSED', log.append([append('compacted', 0, 'first')]))
    const before = proxy.seen.get(requestKey.produce)!
    const refused = log.append([append('compacted', 0, 'second')])
    const written = log.append([append('t', 0, 'c'), append('t', 1, 'd')])
    await rejectsWith('KAFKA_REFUSED', refused)
    assert.deepEqual(await written, [1n, 1n])
    assert.equal(proxy.seen.get(requestKey.produce)! - before, 1)
    assert.deepEqual(await valuesIn(log, 't', 1), ['b', 'd'])
  })

  it('says QUEUE_FULL when more waits than its bound, and takes nothing of it', async () => {
    const { log, proxy } = await tests.openThroughProxy({ limits: { producerQueueBytesMax: 1_000 } })
    await log.createTopic('t', 1)
    const held = proxy.next(requestKey.produce, 'hold')
    const first = log.append([append('t', 0, 'a'.repeat(900))])
    await held
    await rejectsWith('QUEUE_FULL', log.append([append('t', 0, 'b'.repeat(200))]))
    proxy.release()
    await first
    await log.append([append('t', 0, 'c')])
    assert.deepEqual(await valuesIn(log, 't'), ['a'.repeat(900), 'c'])
  })
})

async function rejectsWith(expected: string, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, error => {
    assert.ok(isWeirError(error) && error.code === expected, `${expected} expected, not ${error}`)
    return true
  })
}
