// Keeps a copy of an answer while it streams to the client, up to a limit of bytes. It only looks:
// the chunks are shared, never changed, and over the limit everything kept is let go at once.
import type { Tap } from './exchange.ts';
import type { DropReason } from './tally.ts';

export type Captured =
  | {
      readonly kind: 'whole';
      readonly status: number;
      /** By lower-case name; repeated fields joined. */
      readonly headers: Readonly<Record<string, string>>;
      readonly body: Buffer;
    }
  | { readonly kind: 'dropped'; readonly reason: DropReason };

/** A tap that calls `done` exactly once: with the whole answer, or why there is none. */
export function capture(bodyBytes: number, done: (captured: Captured) => void): Tap {
  let status = 0;
  const headers: Record<string, string> = {};
  let chunks: Buffer[] = [];
  let size = 0;
  let over = false;
  const drop = (reason: DropReason): void => {
    if (over) return;
    over = true;
    chunks = [];
    done({ kind: 'dropped', reason });
  };
  return {
    head: (code, flat) => {
      status = code;
      for (let at = 0; at + 1 < flat.length; at += 2) {
        const name = (flat[at] ?? '').toLowerCase();
        const value = flat[at + 1] ?? '';
        headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
      }
      // Both answer a condition of the client's, which a copy does not carry.
      if (status === 206 || status === 304) drop('partial');
      else if (Number(headers['content-length'] ?? 0) > bodyBytes) drop('too-large');
    },
    data: (chunk) => {
      if (over) return;
      size += chunk.length;
      if (size > bodyBytes) drop('too-large');
      else chunks.push(chunk);
    },
    end: () => {
      if (over) return;
      over = true;
      done({ kind: 'whole', status, headers, body: Buffer.concat(chunks) });
    },
    fail: () => {
      drop('control-failed');
    },
  };
}
