// Bearer tokens for SASL OAUTHBEARER: one that stands somewhere, or one had by the client-credentials
// grant and kept until shortly before it ends. A token and a client's secret never reach an error.
import { BanyanError, messageOf } from '../errors.ts';
import type { Secret, TokenEndpoint } from './connection.ts';

/** Gives the token to log in with now. Throws KAFKA_UNREACHABLE where none can be had. */
export function bearerTokens(from: Secret | TokenEndpoint): () => Promise<string> {
  if (typeof from === 'function') return () => Promise.resolve(from());
  let kept: { readonly token: string; readonly untilMs: number } | undefined;
  return async () => {
    if (kept && Date.now() < kept.untilMs) return kept.token;
    const { access_token: token, expires_in: seconds } = await request(from);
    kept = { token, untilMs: Date.now() + seconds * 900 };
    return token;
  };
}

interface Answer {
  readonly access_token: string;
  readonly expires_in: number;
}

/** RFC 6749 §4.4.2 and §5.1. */
async function request(endpoint: TokenEndpoint): Promise<Answer> {
  const refuse = (why: string, cause?: unknown): never => {
    throw new BanyanError('KAFKA_UNREACHABLE', `no token from ${endpoint.url}: ${why}`, {
      hint: 'Check changeLog.kafka.sasl.tokenEndpoint: its url, clientId, clientSecret and scope.',
      cause,
    });
  };
  const encode = encodeURIComponent;
  const pair = `${encode(endpoint.clientId)}:${encode(endpoint.clientSecret())}`;
  let status: number;
  let answer: unknown;
  try {
    const response = await fetch(endpoint.url, {
      method: 'POST',
      headers: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        ...(endpoint.scope !== undefined && { scope: endpoint.scope }),
      }),
      signal: AbortSignal.timeout(10_000),
      redirect: 'error',
    });
    ({ status } = response);
    answer = await response.json().catch(() => undefined);
  } catch (error) {
    return refuse(messageOf(error), error);
  }
  const given = (typeof answer === 'object' ? answer : null) as {
    readonly access_token?: unknown;
    readonly expires_in?: unknown;
    readonly error?: unknown;
  } | null;
  if (status !== 200 || typeof given?.access_token !== 'string')
    return refuse(
      `it answers ${status}${typeof given?.error === 'string' ? ` (${given.error})` : ''}`,
    );
  const seconds = Number(given.expires_in);
  return {
    access_token: given.access_token,
    expires_in: Number.isFinite(seconds) && seconds > 0 ? seconds : 60,
  };
}
