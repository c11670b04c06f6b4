import type { IncomingHttpHeaders } from 'node:http'

export interface AuthRequest {
  readonly method: string
  /** The route's pattern, such as `/v1/decisions/:transaction_id`. */
  readonly route: string
  readonly headers: Readonly<IncomingHttpHeaders>
}

export type AuthReply =
  | { readonly kind: 'allowed' }
  /** 401: no credentials, or none that are valid. */
  | { readonly kind: 'unauthenticated'; readonly detail: string }
  /** 403: valid credentials that do not allow this. */
  | { readonly kind: 'forbidden'; readonly detail: string }

/** Asked for each request below /v1 and for aliases, before the body is read. `detail` goes to the caller. */
export type Authenticate = (request: AuthRequest) => AuthReply | Promise<AuthReply>
