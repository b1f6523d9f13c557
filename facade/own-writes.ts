// Read your writes: the answer of a write gives its client a signed note of the moment, as a cookie
// and as a field; while the client's reads bring it back and the other side's watermark has not
// passed that moment, they are not sent there. Every replica honours it, whichever answered.
import type { KeyObject } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Direction } from '../control/domain/flow.ts';
import type { Owner } from '../control/domain/phase.ts';
import { cookieValue } from './domain/headers.ts';
import { formatMoments, parseMoments, type Moments } from './domain/wrote.ts';
import type { Freshness } from './freshness.ts';
import { isSigned, sign } from './mac.ts';

/**
 * What cookies begin with: one for each capability and side, for answers that come at the same time take no
 * notice of each other. For clients without cookies the field is `x-banyan-wrote`, both ways.
 */
export const WROTE_COOKIE = 'banyan_wrote';
const WROTE_FIELD = 'x-banyan-wrote';
/** A note that is older than the cookie lives is forgotten: a flow may stand still over a night. */
const AGE_S = 86_400;

/** Where the changes of a flow were made. */
const SOURCE: Readonly<Record<Direction, Owner>> = { to: 'monolith', back: 'service' };

/** No capability is called like the service's. */
function nameOf(capability: string, at: Owner): string {
  return at === 'monolith' ? capability : `${capability}@service`;
}

function cookieOf(capability: string, at: Owner): string {
  return `${WROTE_COOKIE}_${capability}${at === 'monolith' ? '' : '.service'}`;
}

export interface OwnWrites {
  /** Names and values for the answer of a write that ends now, `at` this side. */
  note(req: IncomingMessage, capability: string, at: Owner): readonly string[];
  /** Whether this client has written what the flow's target may not have yet. */
  awaits(req: IncomingMessage, capability: string, direction: Direction): boolean;
  /** Where this client has written last what the other side may not have yet. */
  wroteAt(req: IncomingMessage, capability: string): Owner | undefined;
}

/** `key` signs; undefined while it is not known. */
export function createOwnWrites(
  freshness: Pick<Freshness, 'now' | 'watermark'>,
  key: () => KeyObject | undefined,
): OwnWrites {
  const isOurs = (text: string, signature: string): boolean => {
    const secret = key();
    return secret !== undefined && isSigned(secret, text, signature);
  };
  const noted = (token: string | undefined): readonly Moments[] =>
    token === undefined ? [] : [parseMoments(token, isOurs)];
  const inField = ({ headers }: IncomingMessage): readonly Moments[] =>
    noted(headers[WROTE_FIELD]?.toString());

  /** The latest moment at which it was written `at` a side, if the other may not have it yet. */
  const pending = (req: IncomingMessage, capability: string, at: Owner): number | undefined => {
    const { cookie } = req.headers;
    if (cookie === undefined && req.headers[WROTE_FIELD] === undefined) return undefined;
    const name = nameOf(capability, at);
    const moments = [
      ...noted(cookieValue(cookie, cookieOf(capability, at))),
      ...inField(req),
    ].flatMap((one) => one.get(name) ?? []);
    if (moments.length === 0) return undefined;
    const latest = Math.max(...moments);
    const watermark = freshness.watermark(capability, at === 'monolith' ? 'to' : 'back');
    return watermark === undefined || watermark <= latest ? latest : undefined;
  };

  return {
    note: (req, capability, at) => {
      const now = freshness.now();
      const secret = key();
      if (now === undefined || secret === undefined) return [];
      const name = nameOf(capability, at);
      const others = inField(req).flatMap((brought) =>
        [...brought].filter(([other, then]) => other !== name && then > now - AGE_S * 1_000),
      );
      const token = (moments: Moments): string =>
        formatMoments(moments, (text) => sign(secret, text));
      const own = token(new Map([[name, now]]));
      const cookie = `${cookieOf(capability, at)}=${own}; Path=/; Max-Age=${AGE_S}; HttpOnly; SameSite=Lax`;
      const field = others.length === 0 ? own : token(new Map([...others, [name, now]]));
      return ['set-cookie', cookie, WROTE_FIELD, field];
    },
    awaits: (req, capability, direction) =>
      pending(req, capability, SOURCE[direction]) !== undefined,
    wroteAt: (req, capability) => {
      const mine = pending(req, capability, 'monolith') ?? -1;
      const theirs = pending(req, capability, 'service') ?? -1;
      if (mine < 0 && theirs < 0) return undefined;
      return theirs > mine ? 'service' : 'monolith';
    },
  };
}
