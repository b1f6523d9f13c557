// What a forwarded write carries, for the calls that its application makes back through the edge: which
// write of which capability it belongs to, on which replica, and until when. As text
// `key.capability.replica.expiry.mac.write`, the replica's name in base64url. What stands before the mac
// is signed, once for all writes of a moment; a write's own name is a random one, which nobody guesses.

export interface CallToken {
  /** Of the key that signed it. */
  readonly key: string;
  readonly capability: string;
  readonly replica: string;
  /** Unix ms. */
  readonly expiresAt: number;
  /** Names the write among those of its replica. */
  readonly write: string;
}

/** The field that it travels in, both ways: whoever calls back passes it on as it is. */
export const CALL_FIELD = 'x-banyan-call';

/** What stands before the write's name. `mac` gives text without a dot. */
export function formatCallOf(
  { key, capability, replica, expiresAt }: Omit<CallToken, 'write'>,
  mac: (text: string) => string,
): string {
  const text = [key, capability, encode(replica), expiresAt.toString(36)].join('.');
  return `${text}.${mac(text)}.`;
}

export interface ReadCall {
  readonly token: CallToken;
  /** What is signed, and by what. */
  readonly text: string;
  readonly mac: string;
}

/** Undefined for what is no such token; whether it is signed is still to be seen. */
export function parseCall(value: string): ReadCall | undefined {
  if (value.length > LONGEST) return undefined;
  const parts = value.split('.');
  const [key, capability, replica, expiry, mac, write] = parts;
  if (parts.length !== 6 || !key || !capability || !replica || !expiry || !mac || !write)
    return undefined;
  const expiresAt = Number.parseInt(expiry, 36);
  if (!Number.isSafeInteger(expiresAt)) return undefined;
  const token = { key, capability, replica: decode(replica), expiresAt, write };
  return { token, text: parts.slice(0, 4).join('.'), mac };
}

const LONGEST = 512;

function encode(text: string): string {
  return Buffer.from(text).toString('base64url');
}

function decode(text: string): string {
  return Buffer.from(text, 'base64url').toString();
}
