// Signs the writes that are forwarded, and knows their signatures again in the calls that applications
// make back through the edge: such a call passes a hold, or the write in flight that waits for it would
// keep the switch from ever being quiet. It must name a write that is still in flight: of this replica
// that is looked up, of another one the control database tells (replica.ts).
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { CallKey } from '../control/call-keys.ts';
import { CALL_FIELD, formatCall, parseCall, type CallToken } from './domain/call-token.ts';

export interface CallsOptions {
  readonly replicaId: string;
  /** Reads the keys anew, newest first. */
  readonly readKeys: () => Promise<readonly CallKey[]>;
  /** Unix ms. */
  readonly now?: () => number;
}

const SIGNATURE_BYTES = 16;
/** A key is used once every replica has had the time to read it. */
const SETTLED_MS = 90_000;
/** Clocks of two machines differ, and a deadline may be prolonged by an upload. */
const GRACE_MS = 10_000;

export class Calls {
  readonly #options: CallsOptions;
  readonly #now: () => number;
  #keys: readonly CallKey[] = [];
  #count = 0;

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Reads the keys. Rejects where they cannot be had; those that are known stay. */
  async refresh(): Promise<void> {
    this.#keys = await this.#options.readKeys();
  }

  /** A name for a write of this replica. */
  next(): string {
    this.#count += 1;
    return this.#count.toString(36);
  }

  /** The token of a write that may take so long; undefined while there is no key. */
  sign(capability: string, write: string, timeoutMs: number): string | undefined {
    const key = this.#keys.find(({ ageMs }) => ageMs >= SETTLED_MS) ?? this.#keys.at(-1);
    if (!key) return undefined;
    const expiresAt = this.#now() + timeoutMs + GRACE_MS;
    const token = { key: key.id, capability, replica: this.#options.replicaId, write, expiresAt };
    return formatCall(token, (text) => macOf(key, text).toString('base64url'));
  }

  /** What a request brings, if it is signed and has not run out. */
  broughtBy(req: IncomingMessage): CallToken | undefined {
    const value = req.headers[CALL_FIELD];
    const read = typeof value === 'string' ? parseCall(value) : undefined;
    const key = read && this.#keys.find(({ id }) => id === read.token.key);
    if (!read || !key || read.token.expiresAt < this.#now()) return undefined;
    const given = Buffer.from(read.mac, 'base64url');
    const isSigned =
      given.length === SIGNATURE_BYTES && timingSafeEqual(given, macOf(key, read.text));
    return isSigned ? read.token : undefined;
  }

  isOurs({ replica }: CallToken): boolean {
    return replica === this.#options.replicaId;
  }
}

function macOf({ key }: CallKey, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest().subarray(0, SIGNATURE_BYTES);
}
