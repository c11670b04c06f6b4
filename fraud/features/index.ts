export { amountInMajorUnits, isNight, isWeekend } from './calendar.js'
export {
  defaultFeatureSet,
  type Feature,
  type FeatureSet,
  featureNames,
  loadFeatureSet,
  parseFeatureSet,
  type VelocityAggregate,
  type VelocityFeature,
} from './features.js'
