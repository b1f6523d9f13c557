// Which of the protocols that a client offers in Upgrade (RFC 9110 §7.8) become a tunnel. A server may
// ignore an offer; it must in HTTP/1.0. Ignored, and served as the ordinary request that it also is:
//   - HTTP/2 and TLS over the same port (Java's client offers h2c with every request in the clear),
//   - what comes with a body, which would be the tunnel's first bytes for one reader and a body for
//     another,
//   - HEAD, whose answer has no end of its own.

export interface UpgradeOffer {
  readonly method: string;
  /** The Upgrade field. */
  readonly upgrade: string | undefined;
  readonly httpVersion: string;
  readonly hasBody: boolean;
}

const IGNORED = /^(?:h2c?|http(?:\/.*)?|tls(?:\/.*)?)$/i;

/** The value for Upgrade on the way to the upstream; undefined when it is an ordinary request. */
export function tunnelProtocol(offer: UpgradeOffer): string | undefined {
  if (offer.httpVersion !== '1.1' || offer.method === 'HEAD' || offer.hasBody) return undefined;
  const tokens = (offer.upgrade ?? '').split(',').map((token) => token.trim());
  const wanted = tokens.filter((token) => token !== '' && !IGNORED.test(token));
  return wanted.length === 0 ? undefined : wanted.join(', ');
}
