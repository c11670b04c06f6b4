/**
 * One ONNX Runtime session with its own input and output memory. Only this file knows the runtime.
 *
 * Invariants:
 * 1. Bits repeat: one thread, sequential, so that a row's score does not depend on the rows beside it.
 * 2. Nothing is allocated for a run but what the binding itself makes: the tensors of each row count are made once, over
 *    the same memory. (Measured: handing the output in takes 30 us for a run of 4 rows; letting the binding make it, 68.)
 * 3. The output is NaN before a run, so that a value that was not written is not a score.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-node'
import { assert, messageOf, WeirError } from '../kernel/index.js'
import type { ModelContract, ModelFile } from './contract.js'

/** Rows in one run at most; the session's memory is this many rows (I6). */
export const rowsPerRunMax = 1_024
/** Neither 1 nor 2, so that a batch cannot be mistaken for the output's columns. */
const probeRows = 3

export interface SessionOptions {
  /** ONNX Runtime's execution providers, most wanted first. Default cpu, the only one whose bits are known to repeat. */
  readonly providers?: readonly string[]
}

interface Tensors {
  readonly feeds: Record<string, Tensor>
  readonly fetches: Record<string, Tensor>
}

export class ModelSession {
  readonly featureCount: number
  /** Row-major, `featureCount` values a row, room for `rowsPerRunMax`. Fill the first rows, then `run`. */
  readonly input: Float32Array
  /** Row i's probability is at `i * outputStride + outputOffset`, after a run. */
  readonly output: Float32Array
  readonly outputStride: number
  readonly outputOffset: number

  readonly #session: InferenceSession
  readonly #makeTensors: (rows: number) => Tensors
  /** By row count; at most `rowsPerRunMax` pairs of views. */
  readonly #tensors: (Tensors | undefined)[] = []

  /**
   * Loads the model and runs it once to see what comes out.
   * @throws WeirError MODEL_CONTRACT when its input or output is not as the contract says
   */
  static async open(file: ModelFile, options: SessionOptions = {}): Promise<ModelSession> {
    const { contract, onnx } = file
    // The runtime is a large native library: only a process that scores loads it.
    const runtime = await import('onnxruntime-node')
    let session: InferenceSession
    try {
      session = await runtime.InferenceSession.create(onnx, {
        executionProviders: [...(options.providers ?? ['cpu'])],
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        graphOptimizationLevel: 'all',
        // What fails is thrown, and reported by us: the runtime need not print it for every epoch as well.
        logSeverityLevel: 4,
      })
    } catch (error) {
      throw contractError(contract, `cannot be loaded (${messageOf(error)})`, error)
    }
    try {
      const inputName = checkInput(contract, session)
      checkOutput(contract, session)
      const outputDims = await probe(contract, session, inputName, runtime.Tensor)
      return new ModelSession(contract, session, inputName, outputDims, runtime.Tensor)
    } catch (error) {
      await session.release()
      throw error
    }
  }

  private constructor(
    contract: ModelContract,
    session: InferenceSession,
    inputName: string,
    outputDims: readonly number[],
    TensorType: typeof Tensor,
  ) {
    const featureCount = contract.features.length
    const stride = outputDims[1] ?? 1
    this.featureCount = featureCount
    this.input = new Float32Array(rowsPerRunMax * featureCount)
    this.output = new Float32Array(rowsPerRunMax * stride)
    this.outputStride = stride
    this.outputOffset = stride - 1
    this.#session = session
    this.#makeTensors = rows => ({
      feeds: {
        [inputName]: new TensorType('float32', this.input.subarray(0, rows * featureCount), [rows, featureCount]),
      },
      fetches: {
        [contract.output]: new TensorType('float32', this.output.subarray(0, rows * stride), [
          rows,
          ...outputDims.slice(1),
        ]),
      },
    })
  }

  /** Scores the first `rows` rows of `input` into `output`. Rejects with what the runtime threw. One at a time. */
  async run(rows: number): Promise<void> {
    assert(rows >= 1 && rows <= rowsPerRunMax, 'a run has 1 to rowsPerRunMax rows')
    let tensors = this.#tensors[rows]
    if (tensors === undefined) {
      tensors = this.#makeTensors(rows)
      this.#tensors[rows] = tensors
    }
    this.output.fill(Number.NaN, 0, rows * this.outputStride)
    await this.#session.run(tensors.feeds, tensors.fetches)
  }

  async close(): Promise<void> {
    await this.#session.release()
  }
}

/** @returns the name of the one input */
function checkInput(contract: ModelContract, session: InferenceSession): string {
  const [input, ...more] = session.inputMetadata
  if (input === undefined || more.length > 0) {
    throw contractError(contract, `has ${session.inputMetadata.length} inputs, not one`)
  }
  if (!input.isTensor || input.type !== 'float32') throw contractError(contract, `input ${input.name} is not float32`)
  const columns = input.shape[1]
  // A dimension with a name, or none, is open: the probe settles it.
  if (input.shape.length !== 2 || (typeof columns === 'number' && columns !== contract.features.length)) {
    throw contractError(contract, `input has shape [${input.shape.join(', ')}], not [N, ${contract.features.length}]`)
  }
  return input.name
}

function checkOutput(contract: ModelContract, session: InferenceSession): void {
  const output = session.outputMetadata.find(o => o.name === contract.output)
  if (output === undefined) {
    throw contractError(contract, `has no output ${contract.output}, only ${session.outputNames.join(', ')}`)
  }
  if (!output.isTensor || output.type !== 'float32') {
    throw contractError(contract, `output ${contract.output} is not a float32 tensor`)
  }
}

/** @returns the output's dimensions, [N], [N, 1] or [N, 2], for a batch of normal rows */
async function probe(
  contract: ModelContract,
  session: InferenceSession,
  inputName: string,
  TensorType: typeof Tensor,
): Promise<readonly number[]> {
  const width = contract.features.length
  const rows = Float32Array.from(
    { length: probeRows * width },
    (_, i) => contract.reference[i % width] ?? contract.missing,
  )
  let dims: readonly number[] | undefined
  try {
    const feeds = { [inputName]: new TensorType('float32', rows, [probeRows, width]) }
    dims = (await session.run(feeds, [contract.output]))[contract.output]?.dims
  } catch (error) {
    throw contractError(contract, `does not score a batch of ${probeRows} rows (${messageOf(error)})`, error)
  }
  const columns = dims?.[1] ?? 1
  if (
    dims === undefined ||
    dims.length === 0 ||
    dims.length > 2 ||
    dims[0] !== probeRows ||
    columns < 1 ||
    columns > 2
  ) {
    throw contractError(
      contract,
      `output ${contract.output} has shape [${dims}] for ${probeRows} rows, not [N], [N, 1] or [N, 2]`,
    )
  }
  return dims
}

function contractError(contract: ModelContract, what: string, cause?: unknown): WeirError {
  return new WeirError('MODEL_CONTRACT', `model ${contract.modelId} ${what}`, { cause })
}
