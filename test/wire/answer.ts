// Reads an answer off the wire, with nobody's parser in between, and keeps what is end to end in it: the
// fields of the hop are left out, and so is a Date that the upstream has not sent (RFC 9110 §6.6.1 makes
// a proxy add one). How the end of the body is marked is kept as far as it means something.
import type { Wire } from '../support/http.ts';
import { valuesOf } from '../support/recorder.ts';

const OF_THE_HOP = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'proxy-connection',
  'upgrade',
]);

export interface Answer {
  readonly line: string;
  /** End-to-end fields, in their order and spelling. */
  readonly fields: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
  /** A body without a length ends with its connection or in chunks; that is the hop's affair. */
  readonly framing: 'length' | 'open' | 'none';
}

/** Interim answers and the final one; waits for its end, whichever way that is marked. */
export async function answersOf(client: Wire, request: string): Promise<Answer[]> {
  client.send(request);
  const isHead = request.startsWith('HEAD');
  for (;;) {
    const found = parse(client.received(), isHead, client.socket.closed);
    if (found) {
      client.socket.destroy();
      return found;
    }
    if (client.socket.closed) throw new Error(`broken off: ${client.received()}`);
    await Promise.race([
      new Promise((resolve) => client.socket.once('data', resolve)),
      new Promise((resolve) => client.socket.once('close', resolve)),
    ]);
  }
}

function parse(text: string, isHead: boolean, closed: boolean): Answer[] | undefined {
  const end = text.indexOf('\r\n\r\n');
  if (end === -1) return undefined;
  const [first = '', ...rows] = text.slice(0, end).split('\r\n');
  // The version is the hop's own.
  const line = first.replace(/^HTTP\/1\.[01] /, '');
  const rest = text.slice(end + 4);
  const all = rows.flatMap((row) => {
    const colon = row.indexOf(':');
    return [row.slice(0, colon), row.slice(colon + 1).trim()];
  });
  const hasDate = valuesOf(all, 'date').some((date) => date.includes('1980'));
  const fields = endToEnd(all, hasDate);
  const bare = (framing: Answer['framing'], body: string, trailers: string[] = []): Answer[] => [
    { line, fields, body, trailers, framing },
  ];
  const status = Number(line.slice(0, 3));
  if (status < 200) {
    const next = parse(rest, isHead, closed);
    return next && [...bare('none', ''), ...next];
  }
  if (isHead || status === 204 || status === 304) return bare('none', '');
  const [length] = valuesOf(all, 'content-length');
  if (length !== undefined)
    return rest.length >= Number(length)
      ? bare('length', rest.slice(0, Number(length)))
      : undefined;
  if (valuesOf(all, 'transfer-encoding').length === 0)
    return closed ? bare('open', rest) : undefined;
  let body = '';
  for (let at = 0; ;) {
    const size = /^([0-9a-f]+)[^\r]*\r\n/i.exec(rest.slice(at));
    if (!size) return undefined;
    const count = Number.parseInt(size[1] ?? '', 16);
    at += size[0].length;
    if (count === 0) {
      const tail = rest.slice(at);
      if (!/^(?:[^\r]+\r\n)*\r\n$/.test(tail)) return undefined;
      return bare(
        'open',
        body,
        tail.split('\r\n').filter((row) => row !== ''),
      );
    }
    body += rest.slice(at, at + count);
    at += count + 2;
  }
}

function endToEnd(fields: readonly string[], hasDate: boolean): string[] {
  return fields.filter((_, at) => {
    const name = fields[at - (at % 2)]?.toLowerCase() ?? '';
    return !OF_THE_HOP.has(name) && (hasDate || name !== 'date');
  });
}
