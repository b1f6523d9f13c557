// Read your writes: the answer of a write gives its client a signed note of the moment, as a cookie
// and as a field; while the client's reads bring it back and the other side's watermark has not
// passed that moment, they are not sent there. Every replica honours it, whichever answered.
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Direction } from '../control/domain/flow.ts';
import { cookieValue } from './domain/headers.ts';
import { formatMoments, parseMoments, type Moments } from './domain/wrote.ts';
import type { Freshness } from './freshness.ts';

/** Of the cookie; for clients without cookies the field is `x-banyan-wrote`, both ways. */
export const WROTE_COOKIE = 'banyan_wrote';
const WROTE_FIELD = 'x-banyan-wrote';
/** A note that is older than the cookie lives is forgotten. */
const AGE_S = 3_600;
const SIGNATURE_BYTES = 16;

export interface OwnWrites {
  /** Names and values for the answer of a write that ends now. */
  note(req: IncomingMessage, capability: string): readonly string[];
  /** Whether this client has written what the flow's target may not have yet. */
  awaits(req: IncomingMessage, capability: string, direction: Direction): boolean;
}

/** `key` signs; undefined while it is not known. */
export function createOwnWrites(
  freshness: Pick<Freshness, 'now' | 'watermark'>,
  key: () => Buffer | undefined,
): OwnWrites {
  const macOf = (text: string): Buffer | undefined => {
    const secret = key();
    return (
      secret && createHmac('sha256', secret).update(text).digest().subarray(0, SIGNATURE_BYTES)
    );
  };
  const isSigned = (text: string, signature: string): boolean => {
    const expected = macOf(text);
    const given = Buffer.from(signature, 'base64url');
    return (
      expected !== undefined && given.length === SIGNATURE_BYTES && timingSafeEqual(given, expected)
    );
  };
  const broughtBy = (req: IncomingMessage): Moments[] =>
    [cookieValue(req.headers.cookie, WROTE_COOKIE), req.headers[WROTE_FIELD]?.toString()].flatMap(
      (token) => (token === undefined ? [] : [parseMoments(token, isSigned)]),
    );

  return {
    note: (req, capability) => {
      const now = freshness.now();
      if (now === undefined || key() === undefined) return [];
      const moments = new Map<string, number>();
      for (const brought of broughtBy(req))
        for (const [name, at] of brought)
          if (at > now - AGE_S * 1_000) moments.set(name, Math.max(at, moments.get(name) ?? 0));
      moments.set(capability, now);
      const token = formatMoments(moments, (text) => macOf(text)?.toString('base64url') ?? '');
      const cookie = `${WROTE_COOKIE}=${token}; Path=/; Max-Age=${AGE_S}; HttpOnly; SameSite=Lax`;
      return ['set-cookie', cookie, WROTE_FIELD, token];
    },
    awaits: (req, capability, direction) => {
      const watermark = freshness.watermark(capability, direction);
      return broughtBy(req).some((brought) => {
        const at = brought.get(capability);
        return at !== undefined && (watermark === undefined || watermark <= at);
      });
    },
  };
}
