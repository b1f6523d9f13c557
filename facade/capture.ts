// Keeps a copy of an answer while it streams to the client, within limits. It only looks: the chunks
// are never changed, and over a limit everything kept is let go at once.
import type { DropReason } from './domain/verdict.ts';
import type { Tap } from './job.ts';
import { Gathering } from './gather.ts';
import type { Purse } from './memory.ts';

export type Captured =
  | {
      readonly kind: 'whole';
      /** The request's body. */
      readonly asked: Buffer | undefined;
      readonly status: number;
      /** Those that are wanted, by lower-case name; repeated fields joined. */
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Buffer;
    }
  | { readonly kind: 'dropped'; readonly reason: DropReason };

export interface CaptureOptions {
  readonly bodyBytes: number;
  readonly purse: Purse;
  /** Names of the headers to keep, in lower case. */
  readonly wanted: ReadonlySet<string>;
  /** The answer to a HEAD announces the length of a body that it has not. */
  readonly isHead: boolean;
}

/** A tap that calls `done` exactly once: with the whole answer, or why there is none. */
export function capture(options: CaptureOptions, done: (captured: Captured) => void): Tap {
  const { bodyBytes, purse, wanted, isHead } = options;
  const gathering = new Gathering(purse, bodyBytes);
  const headers: Record<string, string> = {};
  let asked: Buffer | undefined;
  let status = 0;
  let over = false;
  const drop = (reason: DropReason): void => {
    if (over) return;
    over = true;
    gathering.drop();
    done({ kind: 'dropped', reason });
  };
  return {
    asked: (given) => {
      if (over) return;
      if (!given) drop('has-body');
      else if (purse.take(given.length)) asked = given;
      else drop('memory');
    },
    head: (code, flat) => {
      status = code;
      for (let at = 0; at + 1 < flat.length; at += 2) {
        const name = (flat[at] ?? '').toLowerCase();
        const value = flat[at + 1] ?? '';
        if (name === 'content-length' && !isHead && Number(value) > bodyBytes) drop('too-large');
        if (!wanted.has(name)) continue;
        headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
      }
      // Both answer a condition of the client's, which a copy does not carry.
      if (status === 206 || status === 304) drop('partial');
    },
    data: (chunk) => {
      if (over) return;
      const refused = gathering.add(chunk);
      if (refused) drop(refused);
    },
    end: () => {
      if (over) return;
      over = true;
      done({ kind: 'whole', asked, status, headers, body: gathering.take() });
    },
    fail: () => {
      drop('control-failed');
    },
  };
}
