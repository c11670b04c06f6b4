/** Confluent's framing of a value: a byte 0, the schema's id in four bytes (big-endian), the Avro encoding. */

export const framingBytes = 5

export const isFramed = (bytes: Uint8Array, start: number): boolean => bytes[start] === 0

export const schemaIdOf = (bytes: Buffer, start: number): number => bytes.readUInt32BE(start + 1)

/** The framing that begins every value written with a schema. */
export function framing(id: number): Buffer {
  const bytes = Buffer.alloc(framingBytes)
  bytes.writeUInt32BE(id, 1)
  return bytes
}
