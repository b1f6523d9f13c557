// What comes before an answer's fields: its reason, in the bytes that the upstream chose, and interim
// answers (1xx), which go on to the client in their place. A switch of protocols (101) never gets here.
import type { ServerResponse } from 'node:http';

/** The reason of an answer as Node writes one: it is a comment, so one with a control character is left out. */
export function reasonOf(received: string): string {
  // eslint-disable-next-line no-control-regex
  return /[\0-\x08\x0a-\x1f\x7f]/.test(received) ? '' : received;
}

/**
 * Passes an interim answer on, unless another answer has begun. A Node that is older than 24.18 can write
 * early hints only, and of those what it takes for links.
 */
export function passInterim(res: ServerResponse, status: number, headers: readonly string[]): void {
  if (res.headersSent) return;
  if ('writeInformation' in (res as object)) res.writeInformation(status, headers);
  else if (status === 103) hint(res, headers);
}

function hint(res: ServerResponse, headers: readonly string[]): void {
  const hints: Record<string, string | string[]> = {};
  const links: string[] = [];
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const [name = '', value = ''] = headers.slice(at, at + 2);
    if (name.toLowerCase() === 'link') links.push(value);
    else hints[name] = value;
  }
  try {
    res.writeEarlyHints({ ...hints, link: links });
  } catch {
    // Hints may be left out.
  }
}
