/**
 * Minor units of ISO 4217: an amount is a whole number of them, and a division by 10^digits gives major units.
 * Codes without minor units of their own (XAU, XDR, XXX, …) are not here: nobody pays in them.
 * Codes withdrawn since 2000 are kept, because history is replayed.
 */

const codesByDigits: readonly (readonly [digits: number, codes: string])[] = [
  [
    0,
    `AFA BEF BIF BYR CLP DJF ESP GNF GRD ISK ITL JPY KMF KRW LUF MGF PTE PYG ROL RWF TRL UGX UYI VND VUV XAF XOF
     XPF`,
  ],
  [
    2,
    `AED AFN ALL AMD ANG AOA ARS ATS AUD AWG AZM AZN BAM BBD BDT BGL BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
     CAD CDF CHE CHF CHW CNY COP COU CRC CSD CUC CUP CVE CYP CZK DEM DKK DOP DZD EEK EGP ERN ETB EUR FIM FJD FKP
     FRF GBP GEL GHC GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR IEP ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK
     LBP LKR LRD LSL LTL LVL MAD MDL MGA MKD MMK MNT MOP MRO MRU MTL MUR MVR MWK MXN MXV MYR MZM MZN NAD NGN NIO
     NLG NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDD SDG SEK SGD SHP SIT SKK SLE SLL SOS
     SRD SRG SSP STD STN SVC SYP SZL THB TJS TMM TMT TOP TRY TTD TWD TZS UAH USD USN USS UYU UZS VEB VED VEF VES
     WST XAD XCD XCG YER YUM ZAR ZMK ZMW ZWD ZWG ZWL ZWN ZWR`,
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
