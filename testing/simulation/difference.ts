/** What a run showed to be wrong. */
export class Difference extends Error {
  override readonly name = 'Difference'
}
