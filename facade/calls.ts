// Signs the writes that are forwarded, and knows their signatures again in the calls that applications
// make back through the edge: such a call passes a hold, or the write in flight that waits for it would
// keep the switch from ever being quiet. It must name a write that is still in flight: of this replica
// that is looked up, of another one the control database tells (replica.ts).
import { randomFillSync } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { CallKey } from '../control/call-keys.ts';
import { CALL_FIELD, formatCallOf, parseCall, type CallToken } from './domain/call-token.ts';
import { isSigned, sign } from './mac.ts';

export interface CallsOptions {
  readonly replicaId: string;
  /** Reads the keys anew, newest first. */
  readonly readKeys: () => Promise<readonly CallKey[]>;
  /** Unix ms. */
  readonly now?: () => number;
}

/** A key is used once every replica has had the time to read it. */
const SETTLED_MS = 90_000;
/** Clocks of two machines differ, and a deadline may be prolonged by an upload. */
const GRACE_MS = 10_000;

const NAME_BYTES = 9;
/** Writes of one moment share a signature. */
const MOMENT_MS = 1_000;

/** Of a chain of calls through more capabilities than that, those that began it are forgotten. */
const MOST_BROUGHT = 8;

export interface Brought {
  readonly token: CallToken;
  /** As it came, and is passed on. */
  readonly text: string;
}

const NOTHING: readonly Brought[] = [];

interface Signed {
  readonly key: CallKey;
  readonly expiresAt: number;
  readonly text: string;
}

export class Calls {
  readonly #options: CallsOptions;
  readonly #now: () => number;
  #keys: readonly CallKey[] = [];
  /** By capability: what every write that is forwarded in the same moment carries. */
  readonly #signed = new Map<string, Signed>();
  /** Drawn for many writes at once. */
  readonly #drawn = Buffer.alloc(NAME_BYTES * 500);
  #used = NAME_BYTES * 500;

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Reads the keys. Rejects where they cannot be had; those that are known stay. */
  async refresh(): Promise<void> {
    this.#keys = await this.#options.readKeys();
  }

  /** A name for a write of this replica, that nobody guesses. */
  next(): string {
    if (this.#used === this.#drawn.length) {
      randomFillSync(this.#drawn);
      this.#used = 0;
    }
    this.#used += NAME_BYTES;
    return this.#drawn.toString('base64url', this.#used - NAME_BYTES, this.#used);
  }

  /** The token of a write that may take so long; undefined while there is no key. */
  sign(capability: string, write: string, timeoutMs: number): string | undefined {
    const key = this.#keys.find(({ ageMs }) => ageMs >= SETTLED_MS) ?? this.#keys.at(-1);
    if (!key) return undefined;
    const least = this.#now() + timeoutMs + GRACE_MS;
    const expiresAt = least - (least % MOMENT_MS) + MOMENT_MS;
    let signed = this.#signed.get(capability);
    if (signed?.key !== key || signed.expiresAt !== expiresAt) {
      const token = { key: key.id, capability, replica: this.#options.replicaId, expiresAt };
      signed = { key, expiresAt, text: formatCallOf(token, (text) => sign(key.key, text)) };
      this.#signed.set(capability, signed);
    }
    return signed.text + write;
  }

  /** What a request brings that is signed and has not run out: of each capability on the way, the last write. */
  broughtBy(req: IncomingMessage): readonly Brought[] {
    const value = req.headers[CALL_FIELD];
    if (typeof value !== 'string') return NOTHING;
    return value
      .split(',', MOST_BROUGHT)
      .map((one) => one.trim())
      .flatMap((text) => {
        const read = parseCall(text);
        const key = read && this.#keys.find(({ id }) => id === read.token.key);
        if (!read || !key || read.token.expiresAt < this.#now()) return [];
        return isSigned(key.key, read.text, read.mac) ? [{ token: read.token, text }] : [];
      });
  }

  isOurs({ replica }: CallToken): boolean {
    return replica === this.#options.replicaId;
  }
}
