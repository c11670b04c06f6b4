/** Stateless operators: map, filter, flatMap. Functions given to them are pure (I3). */

import { OutputAdapter } from '../adapter.js'
import type { OperatorSpec, Row, RowOutput, StepContext } from '../contract.js'

function stateless(kind: string, create: OperatorSpec['create'], passesRows = false): OperatorSpec {
  return { kind, stateful: false, passesRows, features: [], parameters: {}, create }
}

/** One value out for each value in; the row's features and position travel on. */
export function map<T, U>(apply: (value: T) => U): OperatorSpec {
  return stateless('map', (context: StepContext) => ({
    onRow: (row: Row, out: RowOutput) => out.push(context.derive(row, apply(row.value as T))),
  }))
}

/** Like map, from the row: its flags, features and position. */
export function mapRow<U>(apply: (row: Row) => U): OperatorSpec {
  return stateless('map-row', (context: StepContext) => ({
    onRow: (row: Row, out: RowOutput) => out.push(context.derive(row, apply(row))),
  }))
}

/** Keeps the values for which `keep` holds. */
export function filter<T>(keep: (value: T) => boolean): OperatorSpec {
  return stateless(
    'filter',
    () => ({ onRow: (row: Row, out: RowOutput) => !keep(row.value as T) || out.push(row) }),
    true,
  )
}

/** Keeps rows by their flags (RowFlag): those that have any of `flags`, or none of them. */
export function filterFlags(flags: number, keep: 'any' | 'none'): OperatorSpec {
  return {
    ...stateless(
      'filter-flags',
      () => ({
        onRow: (row: Row, out: RowOutput) => ((row.flags & flags) !== 0) !== (keep === 'any') || out.push(row),
      }),
      true,
    ),
    parameters: { flags, keep },
  }
}

/** A value out for each value in, made of it and its features so far; a missing feature is undefined. */
export function withFeatures<T, U>(
  names: readonly string[],
  apply: (value: T, features: Readonly<Record<string, number | undefined>>) => U,
): OperatorSpec {
  return stateless('with-features', (context: StepContext) => {
    const columns = names.map(name => ({ name, column: context.featureColumn(name) }))
    return {
      onRow: (row: Row, out: RowOutput) => {
        const features: Record<string, number | undefined> = {}
        for (const { name, column } of columns) {
          const value = row.features[column]!
          features[name] = Number.isNaN(value) ? undefined : value
        }
        return out.push(context.derive(row, apply(row.value as T, features)))
      },
    }
  })
}

/** Any number of values out for each value in, in the order of the array. */
export function flatMap<T, U>(apply: (value: T) => readonly U[]): OperatorSpec {
  return stateless('flatMap', (context: StepContext) => {
    const adapter = new OutputAdapter<U>(context)
    return {
      onRow: (row: Row, out: RowOutput) => {
        const values = apply(row.value as T)
        if (values.length === 0) return true
        adapter.begin(row, out)
        // Called again after a full output: `skip` values are already out.
        for (let i = adapter.resumeAt; i < values.length; i++) if (!adapter.emit(values[i] as U)) return false
        adapter.finish()
        return true
      },
    }
  })
}
