import { repositoryFile } from '../../kernel/index.js'
import { featureColumns, type Model, noModel, Scorer } from '../../scoring/index.js'

export const bundledModelPath = (): string => repositoryFile('fraud/models/handbook-gbdt.onnx')

/**
 * @param model path of an .onnx file, 'none', or undefined for the bundled one
 * @param features what the topology computes
 * @throws WeirError MODEL_CONTRACT, also when the topology lacks a feature of the model; UNKNOWN_MODEL
 */
export async function loadModel(model: string | undefined, features: readonly string[]): Promise<Model> {
  if (model === 'none') return noModel
  const scorer = await Scorer.open(model ?? bundledModelPath())
  try {
    if (scorer.contract !== null) featureColumns(scorer.contract, features)
    await scorer.warmUp(() => performance.now())
    return scorer
  } catch (error) {
    await scorer.close()
    throw error
  }
}
