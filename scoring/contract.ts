/**
 * What a model promises: NAME.json beside NAME.onnx (the "Models" section of the contract).
 *
 * Invariants:
 * 1. The bytes that are run are the bytes that were hashed: they are read once and handed on.
 * 2. A plan that does not compute every feature of the model never starts (MODEL_CONTRACT); a missing value at run time
 *    is another thing, and allowed.
 */
import { readFile, stat } from 'node:fs/promises'
import { messageOf, sha256Hex, WeirError } from '../kernel/index.js'

export interface ModelContract {
  readonly modelId: string
  readonly version: string
  /** Feature names in the order of the input's columns. */
  readonly features: readonly string[]
  /** What the model is given for a missing value: NaN, or a number. */
  readonly missing: number
  /** Name of the output that holds the probability. */
  readonly output: string
  /** Of the .onnx file, 64 lower-case hexadecimal digits. */
  readonly sha256: string
  /** By feature: the value that counts as normal in explanations. Where the file states none, `missing`. */
  readonly reference: Float64Array
}

export interface ModelFile {
  readonly contract: ModelContract
  readonly onnx: Uint8Array
}

export const featuresMax = 4_096
const contractBytesMax = 4 * 1_024 * 1_024
const modelBytesMax = 1_024 * 1_024 * 1_024
const nameCharsMax = 256

/**
 * Reads NAME.onnx and NAME.json and checks the one against the other.
 * @param path of the .onnx file
 * @throws WeirError UNKNOWN_MODEL when a file cannot be read, MODEL_CONTRACT when they do not agree
 */
export async function readModel(path: string): Promise<ModelFile> {
  if (!path.endsWith('.onnx')) throw new WeirError('UNKNOWN_MODEL', `${path} does not end in .onnx`)
  const contractPath = `${path.slice(0, -'.onnx'.length)}.json`
  const onnx = await readBounded(path, modelBytesMax)
  const contract = parseModelContract(
    (await readBounded(contractPath, contractBytesMax)).toString('utf8'),
    contractPath,
  )
  const actual = sha256Hex(onnx)
  if (actual !== contract.sha256) {
    throw new WeirError('MODEL_CONTRACT', `${path} has SHA-256 ${actual}, ${contractPath} states ${contract.sha256}`)
  }
  return { contract, onnx }
}

/** @param origin what to call the text in messages @throws WeirError MODEL_CONTRACT naming the key that is wrong */
export function parseModelContract(text: string, origin: string): ModelContract {
  const json = objectOf(parseJson(text, origin), origin)
  const features = featuresOf(json.features, origin)
  const missing = json.missing === 'nan' ? Number.NaN : json.missing
  if (typeof missing !== 'number' || Math.abs(missing) === Number.POSITIVE_INFINITY) {
    throw new WeirError('MODEL_CONTRACT', `${origin}: "missing" is neither "nan" nor a number`)
  }
  const sha256 = stringOf(json, 'sha256', origin).toLowerCase()
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    throw new WeirError('MODEL_CONTRACT', `${origin}: "sha256" is not 64 hexadecimal digits`)
  }
  return {
    modelId: stringOf(json, 'model_id', origin),
    version: stringOf(json, 'version', origin),
    features,
    missing,
    output: stringOf(json, 'output', origin),
    sha256,
    reference: referenceOf(json.reference, features, missing, origin),
  }
}

/**
 * Where the plan keeps each feature of the model: entry i is the column of `features[i]`.
 * @throws WeirError MODEL_CONTRACT naming every feature that the plan does not compute
 */
export function featureColumns(contract: ModelContract, planFeatures: readonly string[]): Int32Array {
  const columnOf = new Map(planFeatures.map((name, column) => [name, column]))
  const absent = contract.features.filter(name => !columnOf.has(name))
  if (absent.length > 0) {
    throw new WeirError(
      'MODEL_CONTRACT',
      `model ${contract.modelId} needs features that the topology does not compute: ${absent.join(', ')}`,
    )
  }
  return Int32Array.from(contract.features, name => columnOf.get(name) ?? -1)
}

async function readBounded(path: string, bytesMax: number): Promise<Buffer> {
  try {
    const { size } = await stat(path)
    if (size > bytesMax) throw new WeirError('UNKNOWN_MODEL', `${path} has ${size} bytes, more than ${bytesMax}`)
    return await readFile(path)
  } catch (error) {
    if (error instanceof WeirError) throw error
    throw new WeirError('UNKNOWN_MODEL', `${path} cannot be read (${messageOf(error)})`, { cause: error })
  }
}

function parseJson(text: string, origin: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new WeirError('MODEL_CONTRACT', `${origin} is not JSON (${messageOf(error)})`, { cause: error })
  }
}

function objectOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new WeirError('MODEL_CONTRACT', `${what} is not a JSON object`)
}

function stringOf(json: Readonly<Record<string, unknown>>, key: string, origin: string): string {
  const value = json[key]
  if (typeof value === 'string' && value.length > 0 && value.length <= nameCharsMax) return value
  throw new WeirError('MODEL_CONTRACT', `${origin}: "${key}" is not a string of 1 to ${nameCharsMax} characters`)
}

function featuresOf(value: unknown, origin: string): readonly string[] {
  const isNames = (v: unknown): v is string[] =>
    Array.isArray(v) && v.every(name => typeof name === 'string' && name !== '')
  if (!isNames(value) || value.length === 0 || value.length > featuresMax) {
    throw new WeirError('MODEL_CONTRACT', `${origin}: "features" is not a list of 1 to ${featuresMax} names`)
  }
  const repeated = value.find((name, i) => value.indexOf(name) !== i)
  if (repeated !== undefined) throw new WeirError('MODEL_CONTRACT', `${origin}: feature "${repeated}" is listed twice`)
  return value
}

function referenceOf(value: unknown, features: readonly string[], missing: number, origin: string): Float64Array {
  const reference = new Float64Array(features.length).fill(missing)
  if (value === undefined) return reference
  const stated = objectOf(value, `${origin}: "reference"`)
  for (const [name, number] of Object.entries(stated)) {
    const column = features.indexOf(name)
    if (column < 0 || typeof number !== 'number') {
      throw new WeirError(
        'MODEL_CONTRACT',
        `${origin}: "reference" of "${name}" is not a number of one of the features`,
      )
    }
    reference[column] = number
  }
  return reference
}
