// A request on its way to an upstream, as text: one latin-1 character a byte. Node's parser and the facade's
// own rules have read its parts already; what could nevertheless end a line early, or frame a body in two
// ways, is refused here, where lines are made.

/** Nothing was sent: the request has a part that no line can carry. */
export class Unforwardable extends Error {
  override readonly name = 'Unforwardable';
  readonly code = 'BANYAN_UNFORWARDABLE';
}

export interface Line {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Names and values by turns. */
  readonly headers: readonly string[];
  /** Whom it is for where the fields do not say it. */
  readonly host: string;
}

/** What is said of the body: its bytes, `chunked` where only its end will tell, or that there is none. */
export type Body = number | 'chunked' | 'none';

/** RFC 9110 §8.6: a server may expect content of these, so that there is none is said. */
const WITH_CONTENT = new Set(['POST', 'PUT', 'PATCH']);
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\0-\x08\x0a-\x1f\x7f]|[^\0-\xff]/;
const NOT_OF_TARGET = /[^\x21-\x7e\x80-\xff]/;

/** The head of a request, with its empty line. Throws Unforwardable. */
export function requestHead({ method, path, headers, host }: Line, body: Body): string {
  if (!TOKEN.test(method) || path === '' || NOT_OF_TARGET.test(path))
    throw new Unforwardable('the request line cannot be written');
  const length = body === 'none' ? 0 : body;
  let addressed = false;
  let measured = body === 'none' && !WITH_CONTENT.has(method);
  let text = '';
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? '';
    const value = headers[at + 1] ?? '';
    if (!TOKEN.test(name) || CONTROLS.test(value))
      throw new Unforwardable('the request has a field that cannot be written');
    const framing = fieldOf(name);
    if (framing === 'host') addressed = true;
    else if (framing === 'content-length') {
      if (Number(value) !== length)
        throw new Unforwardable('the body has another length than the request says');
      measured = true;
    } else if (framing === 'transfer-encoding')
      throw new Unforwardable('how a body is framed is not for others to say');
    text += `${name}: ${value}\r\n`;
  }
  // HTTP/1.0 may do without; whoever is asked by HTTP/1.1 may not.
  const start = `${method} ${path} HTTP/1.1\r\n${addressed ? '' : `host: ${host}\r\n`}`;
  if (body === 'chunked') return `${start}${text}transfer-encoding: chunked\r\n\r\n`;
  return measured ? `${start}${text}\r\n` : `${start}${text}content-length: ${length}\r\n\r\n`;
}

/** The length that the fields say; undefined where they say none. */
export function lengthOf(headers: readonly string[]): number | undefined {
  for (let at = 0; at + 1 < headers.length; at += 2)
    if (fieldOf(headers[at] ?? '') === 'content-length') return Number(headers[at + 1]);
  return undefined;
}

type Framing = 'host' | 'content-length' | 'transfer-encoding';

/** Which of those that frame or address a request it is, if any. */
function fieldOf(name: string): Framing | undefined {
  switch (name.length) {
    case 4:
      return is(name, 'host');
    case 14:
      return is(name, 'content-length');
    case 17:
      return is(name, 'transfer-encoding');
    default:
      return undefined;
  }
}

function is<F extends Framing>(name: string, field: F): F | undefined {
  return name === field || name.toLowerCase() === field ? field : undefined;
}
