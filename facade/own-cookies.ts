// Cookies that the application has set on an answer before it came to us, such as a session's. Node puts fields
// that are given at last in the place of those of the same name.
import type { ServerResponse } from 'node:http';

/** Adds them to the names and values of an answer's fields. */
export function addOwnCookies(headers: string[], res: ServerResponse): void {
  const own = res.getHeader('set-cookie');
  if (own === undefined) return;
  for (const cookie of [own].flat()) headers.push('set-cookie', String(cookie));
}
