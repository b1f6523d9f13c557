// What a proxy says about its client: X-Forwarded-*, Forwarded (RFC 7239), X-Real-IP, and the original
// path of IIS. From a peer that is not trusted all of it is hearsay: dropped, and said anew from what
// the facade sees itself. From a trusted one it is kept, and X-Forwarded-For and Forwarded go on with
// the peer's own address. Forwarded is never begun here, and no Via is written (RFC 9110 §7.6.3 asks a
// gateway for one; servers switch compression off when they see it, and clients would notice that).

export interface Peer {
  /** IPv4 in its own notation, also where the socket says `::ffff:1.2.3.4`. */
  readonly address: string;
  readonly proto: 'http' | 'https';
  /** What it says about its own client is believed. */
  readonly trusted: boolean;
}

/** Whether only a proxy may say this field; `name` is in lower case, with dashes. */
export function isHearsay(name: string): boolean {
  return (
    (name.charCodeAt(0) === 0x78 &&
      (name.startsWith('x-forwarded-') ||
        name === 'x-real-ip' ||
        name === 'x-original-url' ||
        name === 'x-rewrite-url')) ||
    name === 'forwarded'
  );
}

/** Adds what the facade says about an untrusted peer. */
export function introduce(headers: string[], peer: Peer, host: string | undefined): void {
  headers.push('x-forwarded-for', peer.address, 'x-forwarded-proto', peer.proto);
  if (host !== undefined) headers.push('x-forwarded-host', host);
}

/**
 * Adds what a trusted peer said, names and values by turns, and carries it on. Of several
 * X-Forwarded-Proto, -Host or -Port the last counts: the peer itself has added it. One that is no
 * such thing does not count at all.
 */
export function carryOn(
  headers: string[],
  said: readonly string[],
  peer: Peer,
  host: string | undefined,
): void {
  const lists = { 'x-forwarded-for': '', forwarded: '' };
  const single = new Map<string, readonly [string, string]>();
  for (let at = 0; at + 1 < said.length; at += 2) {
    const name = said[at] ?? '';
    const value = said[at + 1] ?? '';
    const lower = name.toLowerCase();
    if (lower === 'x-forwarded-for' || lower === 'forwarded')
      lists[lower] = joined(lists[lower], value);
    else if (!(lower in SHAPES)) headers.push(name, value);
    else if (SHAPES[lower as keyof typeof SHAPES].test(value)) single.set(lower, [name, value]);
  }
  headers.push('x-forwarded-for', joined(lists['x-forwarded-for'], peer.address));
  headers.push(...(single.get('x-forwarded-proto') ?? ['x-forwarded-proto', peer.proto]));
  const ownHost = host === undefined ? [] : ['x-forwarded-host', host];
  headers.push(...(single.get('x-forwarded-host') ?? ownHost));
  headers.push(...(single.get('x-forwarded-port') ?? []));
  if (lists.forwarded !== '')
    headers.push('forwarded', joined(lists.forwarded, elementOf(peer, host)));
}

const SHAPES = {
  'x-forwarded-proto': /^(?:https?|wss?)(?:\s*,\s*(?:https?|wss?))*$/i,
  'x-forwarded-host': /^[\w.\-:[\]]+(?:\s*,\s*[\w.\-:[\]]+)*$/,
  'x-forwarded-port': /^\d{1,5}(?:\s*,\s*\d{1,5})*$/,
};

function joined(list: string, last: string): string {
  return list.trim() === '' ? last : `${list}, ${last}`;
}

/** An element of RFC 7239 about our own peer. */
function elementOf(peer: Peer, host: string | undefined): string {
  const node = peer.address.includes(':') ? `"[${peer.address}]"` : peer.address;
  const named = host === undefined ? '' : `;host=${/^[\w.-]+$/.test(host) ? host : `"${host}"`}`;
  return `for=${node}${named};proto=${peer.proto}`;
}
