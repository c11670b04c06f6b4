/** Customers whose spending in an hour jumps past three times their daily mean. */
import { count, days, eventTime, hours, json, mean, sum, toJson, topology } from '../index.js'

interface Payment {
  readonly customer: string
  readonly cents: number
  readonly atMs: number
}

const payment = json<Payment>('payment', value => value as Payment)

export const spendingAlert = topology('spending')
spendingAlert
  .source('payments', payment, { eventTime: p => eventTime(p.atMs) })
  .keyBy('by-customer', p => p.customer)
  .velocity(
    'spending',
    { cents: p => p.cents },
    {
      count_1day: count().over(days(1)),
      sum_1hour: sum('cents').over(hours(1)),
      mean_1day: mean('cents').over(days(1)),
    },
  )
  .withFeatures('features', (p, features) => ({ ...p, ...features }))
  .filter('jump', p => (p.count_1day ?? 0) >= 3 && (p.sum_1hour ?? 0) > 3 * (p.mean_1day ?? 0))
  .to(
    'alerts',
    toJson('alert', p => p.customer),
  )
