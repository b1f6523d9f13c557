// Which peers are believed what they say about their clients. The networks are read once, when the
// facade starts; what was found for an address is kept, for a bounded number of addresses.
import { isWithin, parseNetworks } from '../core/networks.ts';

/** Says whether a peer is trusted, by its address. */
export type Trust = (address: string) => boolean;

/** A fleet of proxies is smaller; a flood of strangers starts it anew. */
const MOST_KEPT = 1_024;

/** Compiles `facade.trustedProxies`; undefined when nobody is trusted, so that nobody is asked about. */
export function createTrust(entries: readonly string[]): Trust | undefined {
  const networks = entries.flatMap((entry) => parseNetworks(entry) ?? []);
  if (networks.length === 0) return undefined;
  const known = new Map<string, boolean>();
  return (address) => {
    const found = known.get(address);
    if (found !== undefined) return found;
    if (known.size >= MOST_KEPT) known.clear();
    const trusted = isWithin(networks, address);
    known.set(address, trusted);
    return trusted;
  };
}
