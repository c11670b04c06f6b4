/** Which records lie where their key belongs, and which have been sent to another partition than Kafka's own clients would. */
import { positiveMurmur2 } from '../../kernel/index.js'
import { type OperatorSpec, type Row, RowFlag, type RowOutput } from '../contract.js'

export const partitionOfKey = (key: string, partitions: number): number =>
  positiveMurmur2(Buffer.from(key)) % partitions

/** Marks rows that lie astray; counted as `rekeyed`. */
export function route(keyOf: (value: unknown) => string, partitions: number): OperatorSpec {
  return {
    kind: 'route',
    stateful: false,
    passesRows: true,
    features: [],
    parameters: {},
    create: context => ({
      onRow: (row: Row, out: RowOutput) => {
        const astray = partitionOfKey(keyOf(row.value), partitions) !== row.source.partition
        if (astray) row.flags |= RowFlag.astray
        if (!out.push(row)) return false
        if (astray) context.count('rekeyed')
        return true
      },
    }),
  }
}

/** Rows for one input of the step behind a hop. */
export function forPort(port: number): OperatorSpec {
  return {
    kind: 'port',
    stateful: false,
    passesRows: true,
    features: [],
    parameters: { port },
    create: () => ({
      onRow: (row: Row, out: RowOutput) => row.hop?.port !== port || row.hop.part === 'skip' || out.push(row),
    }),
  }
}

/** Rows that are none: numbers that are done with. */
export function skips(keep: boolean): OperatorSpec {
  return {
    kind: 'skips',
    stateful: false,
    passesRows: true,
    features: [],
    parameters: { keep },
    create: () => ({
      onRow: (row: Row, out: RowOutput) => (row.hop?.part === 'skip') !== keep || out.push(row),
    }),
  }
}
