/**
 * Minor units of ISO 4217: an amount is a whole number of them, and a division by 10^digits gives major units.
 * Codes without minor units of their own (XAU, XDR, XXX, …) are not here: nobody pays in them.
 * Codes withdrawn since 2018 are kept, because history is replayed.
 */

const codesByDigits: readonly (readonly [digits: number, codes: string])[] = [
  [0, 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'],
  [
    2,
    `AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
     CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK
     HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR
     MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD
     SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VEF VES WST
     XAD XCD XCG YER ZAR ZMW ZWG ZWL`,
  ],
  [3, 'BHD IQD JOD KWD LYD OMR TND'],
  [4, 'CLF UYW'],
]

const digitsOf = new Map<string, number>()
const unitsOf = new Map<string, number>()
for (const [digits, codes] of codesByDigits) {
  for (const code of codes.split(/\s+/)) {
    digitsOf.set(code, digits)
    unitsOf.set(code, 10 ** digits)
  }
}

/** Decimals of a currency (JPY 0, EUR 2, KWD 3), undefined for a code that is not known. Codes are upper-case. */
export function minorUnitDigits(currency: string): number | undefined {
  return digitsOf.get(currency)
}

/** Minor units in one major unit (JPY 1, EUR 100, KWD 1000); NaN for a code that is not known. */
export function minorUnitsPerMajor(currency: string): number {
  return unitsOf.get(currency) ?? Number.NaN
}
