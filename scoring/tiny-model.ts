/**
 * For tests only: writes small ONNX models (and their contracts) by hand, so that the engine's tests need neither Python
 * nor the fraud application's model. Field numbers are those of onnx.proto3.
 */
import { writeFile } from 'node:fs/promises'
import { sha256Hex } from '../kernel/index.js'

type Dimension = number | string

export interface TinyModel {
  readonly inputShape: readonly Dimension[]
  readonly outputShape: readonly Dimension[]
  readonly nodes: readonly TinyNode[]
  /** float32 constants by name. */
  readonly constants: Readonly<Record<string, { readonly dims: readonly number[]; readonly values: readonly number[] }>>
  /** Element type of the input; 1 is float32, 11 double. */
  readonly inputType?: number
}

interface TinyNode {
  readonly op: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly integers?: Readonly<Record<string, number>>
}

const float32 = 1
const int64 = 7

/** x . w, with no sigmoid: the test says what the score is. Weights [F], [F, 1] or [F, 2] give [N], [N, 1] or [N, 2]. */
export function linearModel(dims: readonly number[], weights: readonly number[], rows: Dimension = 'N'): TinyModel {
  return {
    inputShape: [rows, dims[0]!],
    outputShape: [rows, ...dims.slice(1)],
    nodes: [{ op: 'MatMul', inputs: ['x', 'w'], outputs: ['p'] }],
    constants: { w: { dims, values: weights } },
  }
}

/** One feature, used as an index into `table`: a run with an index outside it throws. */
export function tableModel(table: readonly number[]): TinyModel {
  return {
    inputShape: ['N', 1],
    outputShape: ['N', 1],
    nodes: [
      { op: 'Cast', inputs: ['x'], outputs: ['i'], integers: { to: int64 } },
      { op: 'Gather', inputs: ['table', 'i'], outputs: ['p'] },
    ],
    constants: { table: { dims: [table.length], values: table } },
  }
}

/**
 * Writes `${base}.onnx` and `${base}.json`; the contract's output is p, its features f0, f1 and so on.
 * @returns the path of the .onnx file
 */
export async function writeTinyModel(
  base: string,
  model: TinyModel,
  contract: Record<string, unknown> = {},
): Promise<string> {
  const bytes = encode(model)
  const features = Array.from({ length: Number(model.inputShape[1]) }, (_, i) => `f${i}`)
  const stated = { model_id: 'tiny', version: '1', features, missing: 'nan', output: 'p', sha256: sha256Hex(bytes) }
  await writeFile(`${base}.onnx`, bytes)
  await writeFile(`${base}.json`, JSON.stringify({ ...stated, ...contract }))
  return `${base}.onnx`
}

function encode(model: TinyModel): Uint8Array {
  const graph = [
    ...model.nodes.map(node =>
      message(1, [
        ...node.inputs.map(name => text(1, name)),
        ...node.outputs.map(name => text(2, name)),
        text(4, node.op),
        ...Object.entries(node.integers ?? {}).map(([name, i]) =>
          message(5, [text(1, name), integer(3, i), integer(20, 2)]),
        ),
      ]),
    ),
    text(2, 'tiny'),
    ...Object.entries(model.constants).map(([name, { dims, values }]) =>
      message(5, [...dims.map(d => integer(1, d)), integer(2, float32), text(8, name), field(9, floats(values))]),
    ),
    message(11, valueInfo('x', model.inputType ?? float32, model.inputShape)),
    message(12, valueInfo('p', float32, model.outputShape)),
  ]
  return Buffer.concat([integer(1, 8), message(8, [text(1, ''), integer(2, 17)]), message(7, graph)])
}

function valueInfo(name: string, type: number, shape: readonly Dimension[]): Buffer[] {
  const dims = shape.map(d => message(1, [typeof d === 'number' ? integer(1, d) : text(2, d)]))
  return [text(1, name), message(2, [message(1, [integer(1, type), message(2, dims)])])]
}

const text = (number: number, value: string): Buffer => field(number, Buffer.from(value))
const message = (number: number, parts: readonly Buffer[]): Buffer => field(number, Buffer.concat(parts))
const field = (number: number, value: Buffer): Buffer =>
  Buffer.concat([varint(number * 8 + 2), varint(value.length), value])
const integer = (number: number, value: number): Buffer => Buffer.concat([varint(number * 8), varint(value)])

function varint(value: number): Buffer {
  const bytes: number[] = []
  let left = value
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) | 128)
  bytes.push(left)
  return Buffer.from(bytes)
}

function floats(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [i, value] of values.entries()) bytes.writeFloatLE(value, i * 4)
  return bytes
}
