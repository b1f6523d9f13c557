// What comes before an answer's fields: its reason, in the bytes that the upstream chose, and interim
// answers (1xx), which go on to the client in their place. A switch of protocols (101) never gets here.
import type { ServerResponse } from 'node:http';

/** The reason of an answer as Node writes one: it is a comment, so one with a control character is left out. */
export function reasonOf(received: string): string {
  // eslint-disable-next-line no-control-regex
  return /[\0-\x08\x0a-\x1f\x7f]/.test(received) ? '' : received;
}

/** Passes an interim answer on, as far as this Node can write one and no other answer has begun. */
export function passInterim(res: ServerResponse, status: number, headers: readonly string[]): void {
  const canWrite = 'writeInformation' in (res as object);
  if (canWrite && !res.headersSent) res.writeInformation(status, headers);
}
