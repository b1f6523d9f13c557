// Which peers are believed what they say about their clients. The networks are read once, when the
// facade starts; what was found for an address is kept, for a bounded number of addresses.
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
