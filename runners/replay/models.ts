import { repositoryFile } from '../../kernel/index.js'
import { type Model, noModel, Scorer } from '../../scoring/index.js'

export const bundledModelPath = (): string => repositoryFile('fraud/models/handbook-gbdt.onnx')

/** @param model path of an .onnx file, 'none', or undefined for the bundled one. @throws WeirError MODEL_CONTRACT */
export async function loadModel(model: string | undefined): Promise<Model> {
  if (model === 'none') return noModel
  const scorer = await Scorer.open(model ?? bundledModelPath())
  await scorer.warmUp(() => performance.now())
  return scorer
}
