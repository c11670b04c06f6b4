export { filter, flatMap, map } from './basic/index.js'
export {
  type Operator,
  type OperatorSpec,
  type Output,
  type Row,
  RowFlag,
  type RowOutput,
  type SourcePosition,
  type StepContext,
  type StepRuntime,
} from './contract.js'
export { type ProcessContext, type ProcessSpec, process } from './process/index.js'
