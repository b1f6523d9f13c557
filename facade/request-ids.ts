// Ids for requests that come without one: what is random is drawn once for the process, and the rest
// counted, because drawing for every request costs as much as choosing its route.
import { randomBytes } from 'node:crypto';

/** An id for each call, unlike any of another process: 24 hexadecimal digits, a dash, a number to the base 36. */
export function requestIds(): () => string {
  const process_ = randomBytes(12).toString('hex');
  let nth = 0;
  return () => {
    nth += 1;
    return `${process_}-${nth.toString(36)}`;
  };
}
