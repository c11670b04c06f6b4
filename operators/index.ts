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
