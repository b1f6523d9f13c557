// Which peers are believed what they say about their clients. The networks are read once, when the
// facade starts; what was found for an address is kept, for a bounded number of addresses.
import type { Logger } from '../core/log.ts';
import { isWithin, parseNetworks } from '../core/networks.ts';
import { remembered } from './domain/remembered.ts';

/** Says whether a peer is trusted, by its address. */
export type Trust = (address: string) => boolean;

/** Compiles `facade.trustedProxies`; undefined when nobody is trusted, so that nobody is asked about. */
export function createTrust(entries: readonly string[]): Trust | undefined {
  const networks = entries.flatMap((entry) => parseNetworks(entry) ?? []);
  if (networks.length === 0) return undefined;
  return remembered((address) => isWithin(networks, address));
}

const OUR_OWN = ['loopback', 'private'];

/**
 * Warns once of a peer that speaks for its clients and is not believed, where it is near: most likely a proxy of
 * ours that nobody has named, and the monolith sees the proxy's address and scheme for those of all clients.
 */
export function warnOfHearsay(log: Logger): (address: string) => void {
  const isNear = createTrust(OUR_OWN);
  let warned = false;
  return (address) => {
    if (warned || isNear?.(address) !== true) return;
    warned = true;
    log.warn(
      'a peer says what only a trusted proxy may (X-Forwarded-For and the like), and it was dropped: if it is one of yours, name it in facade.trustedProxies',
      { peer: address },
    );
  };
}
