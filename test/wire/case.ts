// The words in which the tables of this folder are written: what a client sends, byte for byte, and
// what becomes of it.

export interface Case {
  readonly name: string;
  /** What the client sends, in one piece, as Latin-1. */
  readonly send: string;
  /**
   * Requests that reach an upstream, in order, as `METHOD target @host "body"`; those for the service
   * are marked `service `. A Host that the client did not send is `@-`.
   */
  readonly arrives: readonly string[];
  /** How the connection goes on after those were answered. */
  readonly then: Then;
}

export type Then =
  /** It is in step: the next request on it is understood. */
  | 'in-step'
  /** It ends without another answer. */
  | 'closed'
  /** One more answer with this status, made by the facade or its HTTP parser, and it ends. */
  | { readonly refused: number }
  /** As above, and the upstream may have seen a request cut short, never a whole one. */
  | { readonly broken: number }
  /** The message is not whole: it waits for the rest, and nothing whole has reached an upstream. */
  | 'waits';

/** Nothing reaches an upstream. */
export function refuses(name: string, send: string, status = 400): Case {
  return { name, send, arrives: [], then: { refused: status } };
}

/** Nothing reaches an upstream, and there is no answer either. */
export function closes(name: string, send: string): Case {
  return { name, send, arrives: [], then: 'closed' };
}

/** What arrives, in order; the connection stays usable. */
export function forwards(name: string, send: string, ...arrives: readonly string[]): Case {
  return { name, send, arrives, then: 'in-step' };
}

/** The body turns out to be malformed once its request is under way: the upstream's request is cut. */
export function breaks(name: string, send: string, status = 400): Case {
  return { name, send, arrives: [], then: { broken: status } };
}

/** A head in proper form: a request line and fields, each line ended by CRLF. */
export function head(line: string, ...fields: readonly string[]): string {
  return `${[`${line} HTTP/1.1`, ...fields].join('\r\n')}\r\n\r\n`;
}

/** A proper GET for the host `shop`. */
export function get(target: string, ...fields: readonly string[]): string {
  return head(`GET ${target}`, 'Host: shop', ...fields);
}

/** A POST for `/a` of the host `shop` with these fields, and whatever follows them. */
export function post(body: string, ...fields: readonly string[]): string {
  return head('POST /a', 'Host: shop', ...fields) + body;
}

/** A POST whose body is chunked, as written. */
export function chunked(body: string, ...fields: readonly string[]): string {
  return post(body, 'Transfer-Encoding: chunked', ...fields);
}
