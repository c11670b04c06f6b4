/**
 * Decimals of the currencies of ISO 4217, with those withdrawn since 2000, because history is replayed.
 * Metals, funds and test codes have no minor unit and are not currencies of a payment.
 */
const byDecimals: readonly (readonly [number, string])[] = [
  [
    0,
    'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF BYR ITL ESP PTE BEF LUF GRD TRL ROL AFA MGF',
  ],
  [
    2,
    `AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
     CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS
     INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN
     NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC
     SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG
     ATS AZM BGL CSD CUC CYP DEM EEK FIM FRF GHC HRK IEP LTL LVL MRO MTL MZM NLG SDD SIT SKK SLL SRG STD TMM USS VEB VEF
     YUM ZMK ZWD ZWL ZWN ZWR`,
  ],
  [3, 'BHD IQD JOD KWD LYD OMR TND'],
  [4, 'CLF UYW'],
]

const decimals = new Map<string, number>()
for (const [digits, codes] of byDecimals) {
  for (const code of codes.split(/\s+/)) decimals.set(code, digits)
}

/** How many decimals the currency has (JPY 0, EUR 2, KWD 3); undefined when it is no ISO 4217 code. */
export function currencyDecimals(code: string): number | undefined {
  return decimals.get(code)
}
