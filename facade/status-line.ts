// What comes before an answer's fields: its reason, in the bytes that the upstream chose, and interim
// answers (1xx), which go on to the client in their place. A switch of protocols (101) never gets here.
import type { ServerResponse } from 'node:http';

/** The reason of an answer; undici has read its bytes as UTF-8, Node writes them as Latin-1. */
export function reasonOf(read: string | undefined): string {
  if (read === undefined) return '';
  let plain = true;
  for (let at = 0; at < read.length; at++) {
    const code = read.charCodeAt(at);
    // Node writes none of these but the tab; a reason is a comment, so it is left out.
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return '';
    if (code > 0x7f) plain = false;
  }
  if (plain) return read;
  // What was no UTF-8 cannot be told any more.
  return read.includes('\ufffd') ? '' : Buffer.from(read, 'utf8').toString('latin1');
}

/** Passes an interim answer on, as far as this Node can write one and no other answer has begun. */
export function passInterim(res: ServerResponse, status: number, headers: readonly string[]): void {
  const canWrite = 'writeInformation' in (res as object);
  if (canWrite && !res.headersSent) res.writeInformation(status, headers);
}
