// Networks as people write them: an address, a CIDR, or a word for the usual ones. An IPv4 network also
// covers the same addresses where a socket shows them as IPv6 (`::ffff:10.0.0.1`).
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

export type Network = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

const WORDS: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  /** RFC 1918 and RFC 4193. */
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
};

/** The networks that an entry names; undefined when it names none. */
export function parseNetworks(entry: string): readonly Network[] | undefined {
  const word = Object.hasOwn(WORDS, entry) ? WORDS[entry] : undefined;
  if (word) return word.map((cidr) => ipaddr.parseCIDR(cidr));
  const [address = '', bits, ...more] = entry.split('/');
  // ipaddr.js would also take `10.1`, octal and hexadecimal numbers, and a zone.
  const version = isIP(address);
  if (version === 0 || address.includes('%') || more.length > 0) return undefined;
  const most = version === 4 ? 32 : 128;
  if (bits !== undefined && (!/^\d{1,3}$/.test(bits) || Number(bits) > most)) return undefined;
  const length = bits === undefined ? most : Number(bits);
  const parsed = ipaddr.parse(address);
  return parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress() && length >= 96
    ? [[parsed.toIPv4Address(), length - 96]]
    : [[parsed, length]];
}

/** Whether an address lies in one of the networks; what is no address lies in none. */
export function isWithin(networks: readonly Network[], address: string): boolean {
  if (isIP(address) === 0) return false;
  const parsed = ipaddr.process(address);
  return networks.some(
    ([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits),
  );
}
