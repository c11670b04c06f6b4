/** Listeners of a broker for tests that want to know who connects: log-ins, TLS, client certificates. */
import type { KafkaForTests, KafkaOptions } from './kafka.js'
import { authority, serverCertificate, serverKey } from './tls.js'

export const username = 'weir'
export const password = 'tr0ub4dor&3'

const plainLogin = `org.apache.kafka.common.security.plain.PlainLoginModule required user_${username}="${password}";`
const scramLogin = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
/** A property's value on one line. */
const folded = (pem: string): string => pem.trim().replaceAll('\n', '\\n')

const logIn = (listener: string): Record<string, string> => ({
  [`listener.name.${listener}.sasl.enabled.mechanisms`]: 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
  [`listener.name.${listener}.plain.sasl.jaas.config`]: plainLogin,
  [`listener.name.${listener}.scram-sha-256.sasl.jaas.config`]: scramLogin,
  [`listener.name.${listener}.scram-sha-512.sasl.jaas.config`]: scramLogin,
})

const encrypted = (listener: string, clientAuthentication: 'none' | 'required'): Record<string, string> => ({
  [`listener.name.${listener}.ssl.keystore.type`]: 'PEM',
  [`listener.name.${listener}.ssl.keystore.certificate.chain`]: folded(serverCertificate),
  [`listener.name.${listener}.ssl.keystore.key`]: folded(serverKey),
  [`listener.name.${listener}.ssl.truststore.type`]: 'PEM',
  [`listener.name.${listener}.ssl.truststore.certificates`]: folded(authority),
  [`listener.name.${listener}.ssl.client.auth`]: clientAuthentication,
})

/** Listeners SASL (any mechanism), MUTUAL (TLS with client certificates), BOTH (TLS, any mechanism). */
export const securedListeners: KafkaOptions = {
  listeners: { SASL: 'SASL_PLAINTEXT', MUTUAL: 'SSL', BOTH: 'SASL_SSL' },
  properties: {
    ...logIn('sasl'),
    ...encrypted('mutual', 'required'),
    ...logIn('both'),
    ...encrypted('both', 'none'),
  },
}

/** PLAIN knows the user from the broker's file; SCRAM from the cluster. @throws Error */
export async function addScramUser(kafka: KafkaForTests): Promise<void> {
  for (const mechanism of ['SCRAM-SHA-256', 'SCRAM-SHA-512']) {
    const { code, stderr } = await kafka.tool('kafka.admin.ConfigCommand', [
      ...['--bootstrap-server', kafka.brokers.join(','), '--alter', '--entity-type', 'users'],
      ...['--entity-name', username, '--add-config', `${mechanism}=[password=${password}]`],
    ])
    if (code !== 0) throw new Error(`${mechanism}: ${stderr}`)
  }
}
