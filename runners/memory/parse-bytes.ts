const byteUnits: Readonly<Record<string, number>> = { m: 1 << 20, g: 1 << 30 }

/** `512m`, `2g`. @returns undefined for what is no size */
export function parseBytes(text: string): number | undefined {
  const [, number, unit] = /^([1-9]\d{0,6})(m|g)$/.exec(text) ?? []
  return unit === undefined ? undefined : byteUnits[unit]! * Number(number)
}
