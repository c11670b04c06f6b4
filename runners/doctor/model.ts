/** The model that `weir up` would score with: its files belong together, and the runtime can run it. */
import { isWeirError } from '../../kernel/index.js'
import { readModel, Scorer } from '../../scoring/index.js'
import { bundledModelPath } from '../models/index.js'
import { fail, ok, type Verdict, warn } from './check.js'

/** Hash and contract. @param model path of an .onnx file, 'none', or undefined for the bundled one */
export async function checkModel(model: string | undefined): Promise<Verdict> {
  if (model === 'none') return warn('no model: decisions have no score', 'set model to an .onnx file to have scores')
  const { contract } = await readModel(model ?? bundledModelPath())
  return ok(`${contract.modelId} ${contract.version}, SHA-256 ${contract.sha256.slice(0, 12)}… as stated`)
}

/** Loads onnxruntime-node and a session of the model. */
export async function checkOnnxRuntime(model: string | undefined): Promise<Verdict> {
  const path = model === undefined || model === 'none' ? bundledModelPath() : model
  let scorer: Scorer
  try {
    scorer = await Scorer.open(path)
  } catch (error) {
    // another check tells what is wrong with the files
    if (isWeirError(error, 'MODEL_CONTRACT') || isWeirError(error, 'UNKNOWN_MODEL')) {
      return warn('onnxruntime-node was not tried', 'mend the model first')
    }
    throw error
  }
  try {
    await scorer.warmUp(() => performance.now())
    return ok('onnxruntime-node loads the model and scores')
  } catch (error) {
    if (!isWeirError(error)) throw error
    return fail(error.message, 'remove node_modules and run npm run setup')
  } finally {
    await scorer.close()
  }
}
