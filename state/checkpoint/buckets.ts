/**
 * Buckets: runs of key groups that a checkpoint handles as one, all steps together, so that the number of segments depends
 * neither on the steps nor on the key groups, and a restore of some key groups reads little else. The expiry index is not by
 * key group (state/FORMAT.md): it is a bucket of its own, the last.
 */
import { space } from '../keys.js'

const groupBucketsMax = 64

/** Of the key groups; the expiry index is bucket number `groupBuckets`. */
export const groupBuckets = (keyGroups: number): number => Math.min(groupBucketsMax, keyGroups)

/** Of all: that of the expiry index too. */
export const bucketCount = (keyGroups: number): number => groupBuckets(keyGroups) + 1

const bucketOfGroup = (group: number, keyGroups: number): number =>
  Math.floor((group * groupBuckets(keyGroups)) / keyGroups)

/** The key groups of a bucket: from, and up to but without. */
export function groupsOf(bucket: number, keyGroups: number): { from: number; to: number } {
  const count = groupBuckets(keyGroups)
  return { from: Math.ceil((bucket * keyGroups) / count), to: Math.ceil(((bucket + 1) * keyGroups) / count) }
}

/** Of a storage key without its namespace, of the spaces entry, timer and expiry. */
export function groupOfKey(key: Buffer): number {
  const name = key[0] === space.expiry ? 5 : 1
  return key.readUInt16BE(name + 1 + key.readUInt8(name))
}

export function bucketOfKey(key: Buffer, keyGroups: number): number {
  return key[0] === space.expiry ? groupBuckets(keyGroups) : bucketOfGroup(groupOfKey(key), keyGroups)
}

/** Which buckets hold something of these key groups; the expiry index holds something of all. */
export function bucketsOf(
  ownsGroup: (group: number) => boolean,
  keyGroups: number,
  withoutExpiry = false,
): ReadonlySet<number> {
  const buckets = new Set(withoutExpiry ? [] : [groupBuckets(keyGroups)])
  for (let group = 0; group < keyGroups; group++) if (ownsGroup(group)) buckets.add(bucketOfGroup(group, keyGroups))
  return buckets
}
