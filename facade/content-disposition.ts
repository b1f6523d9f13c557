// Node decodes the value of a Content-Disposition field that stands behind a Content-Length as UTF-8 (so that
// `setHeader` may be given a file's name as a text), and every other field as Latin-1. What a proxy passes on are
// bytes: encoded once more, they are what they were when Node has decoded them.
// https://github.com/nodejs/node/issues/58240
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';

const NAME = 'content-disposition';

/** Whether this Node does so: what is no UTF-8 becomes a character then that no field may have. */
const isDecoded = ((): boolean => {
  const probe = new ServerResponse(new IncomingMessage(new Socket()));
  try {
    probe.writeHead(200, ['content-length', '1', NAME, '\u00fc']);
    return false;
  } catch {
    return true;
  }
})();

/** Fields of an answer, names and values by turns, as `writeHead` must be given them to send these bytes. */
export function asBytes(headers: string[]): void {
  if (!isDecoded) return;
  let measured = false;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? '';
    // The two lengths of name that matter.
    if (name.length === 14)
      measured ||= name.toLowerCase() === 'content-length' && headers[at + 1] !== '0';
    else if (measured && name.length === NAME.length && name.toLowerCase() === NAME) {
      const value = headers[at + 1] ?? '';
      // eslint-disable-next-line no-control-regex -- all of ASCII
      if (!/^[\x00-\x7f]*$/.test(value)) headers[at + 1] = Buffer.from(value).toString('latin1');
    }
  }
}
