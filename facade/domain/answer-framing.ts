// What an answer's fields say of where its body ends, and of its connection (RFC 9112 §6.3, §9.3). What they
// say twice is malformed.
import { MalformedAnswer } from './answer-fields.ts';

/** How long the connection may wait for another request: not at all, as long as the upstream says, or unsaid. */
export type Persistence = 'none' | number | undefined;

export interface Framing {
  /** Of the Transfer-Encoding fields, in lower case. */
  readonly coding: string | undefined;
  readonly length: number;
  readonly connection: string;
  readonly keepAliveMs: number | undefined;
}

/** Throws MalformedAnswer. */
export function readFraming(headers: readonly string[]): Framing {
  let coding: string | undefined;
  let length = -1;
  let connection = '';
  let keepAliveMs: number | undefined;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? '';
    // Only these four matter, and few others are as long as one of them.
    switch (name.length) {
      case 10:
        if (isNamed(name, 'connection')) connection += `,${headers[at + 1] ?? ''}`;
        else if (isNamed(name, 'keep-alive')) keepAliveMs = keepAliveOf(headers[at + 1] ?? '');
        break;
      case 14:
        if (!isNamed(name, 'content-length')) break;
        if (length !== -1) throw new MalformedAnswer('it has two lengths');
        length = lengthOf(headers[at + 1] ?? '');
        break;
      case 17:
        if (!isNamed(name, 'transfer-encoding')) break;
        coding = `${coding === undefined ? '' : `${coding},`}${(headers[at + 1] ?? '').toLowerCase()}`;
        break;
    }
  }
  return { coding, length, connection, keepAliveMs };
}

function isNamed(name: string, lower: string): boolean {
  return name === lower || name.toLowerCase() === lower;
}

function lengthOf(value: string): number {
  const length = /^\d+$/.test(value) ? Number(value) : NaN;
  if (!Number.isSafeInteger(length)) throw new MalformedAnswer('its length is no number');
  return length;
}

function keepAliveOf(value: string): number | undefined {
  const seconds = /(?:^|[ ,;])timeout=(\d{1,9})/i.exec(value)?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1_000;
}

/** RFC 9112 §9.3. */
export function persists(minor: number, { connection }: Framing): boolean {
  if (connection === '' || connection === ',keep-alive') return minor === 1 || connection !== '';
  const tokens = connection.split(',').map((token) => token.trim().toLowerCase());
  return !tokens.includes('close') && (minor === 1 || tokens.includes('keep-alive'));
}
