// What a forwarded write carries, for the calls that its application makes back through the edge: which
// write of which capability it belongs to, on which replica, and until when; signed. As text
// `key.capability.replica.write.expiry.mac`, the replica's name in base64url.

export interface CallToken {
  /** Of the key that signed it. */
  readonly key: string;
  readonly capability: string;
  readonly replica: string;
  /** Names the write among those of its replica. */
  readonly write: string;
  /** Unix ms. */
  readonly expiresAt: number;
}

/** The field that it travels in, both ways: whoever calls back passes it on as it is. */
export const CALL_FIELD = 'x-banyan-call';

/** `mac` gives text without a dot. */
export function formatCall(token: CallToken, mac: (text: string) => string): string {
  const { key, capability, replica, write, expiresAt } = token;
  const text = [key, capability, encode(replica), write, expiresAt.toString(36)].join('.');
  return `${text}.${mac(text)}`;
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
  const [key, capability, replica, write, expiry, mac] = parts;
  if (parts.length !== 6 || !key || !capability || !replica || !write || !expiry || !mac)
    return undefined;
  const expiresAt = Number.parseInt(expiry, 36);
  if (!Number.isSafeInteger(expiresAt)) return undefined;
  const token = { key, capability, replica: decode(replica), write, expiresAt };
  return { token, text: parts.slice(0, 5).join('.'), mac };
}

const LONGEST = 512;

function encode(text: string): string {
  return Buffer.from(text).toString('base64url');
}

function decode(text: string): string {
  return Buffer.from(text, 'base64url').toString();
}
