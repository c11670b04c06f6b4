/** What was compressed becomes more than the bound allows; nothing is known to be wrong with it. */
export class TooLong extends RangeError {}
