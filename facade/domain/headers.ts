// Which header fields cross the facade, in which form.
//
// A request that two parsers could frame or address differently is refused: two Host fields or none
// that is a host, a length beside a transfer coding, a coding other than `chunked`, any coding by
// HTTP/1.0, more fields than a server keeps, an expectation other than `100-continue` (417). What Node's
// strict parser refuses does not come this far: bare LF, folded lines, NUL, white space before a colon,
// lengths that are repeated or no number, malformed chunks. Chunks are framed anew, so that extensions
// stay on their hop; request trailers are dropped (RFC 9110 §6.5.1 allows it), answers' are passed.
//
// Every other field passes in its order, spelling and number, but for those of one hop (RFC 9110
// §7.6.1), those that Connection nominates, and what only a proxy (forwarded.ts) or only the facade
// (x-banyan-*) may say. These are dropped in the spelling with underscores too, which CGI-like upstreams
// cannot tell from the one with dashes. A request id is kept from a trusted peer, where it is safe to log:
// it decides which requests are samples.
import { answerField, isEndToEnd, requestField } from './field-names.ts';
import { carryOn, introduce, type Peer } from './forwarded.ts';
import { isHost } from './host.ts';
import { refused, type Refused } from './target.ts';

export interface RequestHead {
  readonly kind: 'head';
  /** Names and values by turns, ready to be forwarded. */
  readonly headers: string[];
  readonly requestId: string;
  /** Of the Host field; only HTTP/1.0 has none. */
  readonly host: string | undefined;
  readonly hasBody: boolean;
  readonly expectsContinue: boolean;
  /** Something was dropped that only a trusted peer may say. */
  readonly hearsay: boolean;
  /** Who answers a shadow copy asks for it: the mark of the copy was passed on. */
  readonly forCopy: boolean;
  /** The protocol that the client wants to change to, where it is one we must answer for. */
  readonly websocket: boolean;
}

// Node keeps 2 000 by default and drops the rest unseen.
const MOST_FIELDS = 1_000;

/**
 * Reads a request's fields (names and values by turns, as received) and says what is passed on.
 * `isOld` tells HTTP/1.0 from 1.1.
 */
export function readRequestHead(
  raw: readonly string[],
  peer: Peer,
  freshId: () => string,
  isOld = false,
): RequestHead | Refused {
  if (raw.length > 2 * MOST_FIELDS) return refused('the request has too many fields');
  const headers: string[] = [];
  let host: string | undefined;
  let nominated: string | undefined;
  let coding: string | undefined;
  let length: string | undefined;
  let requestId: string | undefined;
  let said: string[] | undefined;
  let hearsay = false;
  let expectsContinue = false;
  let forCopy = false;
  let websocket = false;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const value = raw[at + 1] ?? '';
    switch (requestField(name)) {
      case 'passes':
        break;
      case 'stays':
        continue;
      case 'hearsay':
        if (peer.trusted) (said ??= []).push(name, value);
        else hearsay = true;
        continue;
      case 'host':
        if (host !== undefined) return refused('the request has two Host fields');
        if (!isHost(value)) return refused('the Host field is not a host');
        host = value;
        break;
      case 'content-length':
        // Node's own parser refuses these too, unless somebody made it lenient.
        if (length !== undefined || !/^\d+$/.test(value))
          return refused('the Content-Length field is not one number');
        length = value;
        break;
      case 'connection':
        nominated = nominated === undefined ? value : `${nominated},${value}`;
        continue;
      case 'transfer-encoding':
        coding = coding === undefined ? value : `${coding},${value}`;
        continue;
      case 'expect':
        if (value.toLowerCase() !== '100-continue')
          return refused('the only expectation that is met is 100-continue', 417);
        // RFC 9110 §10.1.1: HTTP/1.0 knows no interim answers.
        expectsContinue = !isOld;
        continue;
      case 'copy':
        forCopy = true;
        continue;
      case 'upgrade':
        websocket ||= /\bwebsocket\b/i.test(value);
        continue;
      case 'x-request-id':
        if (peer.trusted) requestId = value;
        continue;
    }
    headers.push(name, value);
  }
  if (host === undefined && !isOld) return refused('the request has no Host field');
  if (coding !== undefined && isOld) return refused('HTTP/1.0 has no transfer codings');
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked')
    return refused('the only transfer coding that is served is chunked');
  if (coding !== undefined && length !== undefined)
    return refused('the request has both a length and a transfer coding');
  const kept = nominated === undefined ? headers : withoutNominated(headers, nominated);
  const id = requestId !== undefined && isRequestId(requestId) ? requestId : freshId();
  kept.push('x-request-id', id);
  if (said) carryOn(kept, said, peer, host);
  else introduce(kept, peer, host);
  return {
    kind: 'head',
    headers: kept,
    requestId: id,
    host,
    hasBody: coding !== undefined || (length !== undefined && Number(length) > 0),
    expectsContinue,
    hearsay,
    forCopy,
    websocket,
  };
}

/** What an answer's status, request and client leave room for. */
export interface AnswerFrame {
  readonly status: number;
  /** It has no body, whatever its fields say: HEAD, 204, 304. */
  readonly bodiless: boolean;
  /** Its client reads chunks, and so trailers. */
  readonly chunks: boolean;
}

/**
 * The fields of an upstream's answer that go to the client, names and values by turns. Refused when
 * its body is in a coding that would be lost on the way.
 */
export function readResponseHead(
  raw: readonly string[],
  frame: AnswerFrame,
): readonly string[] | Refused {
  const headers: string[] = [];
  let nominated: string | undefined;
  let measured = false;
  let announcesTrailers = false;
  let coding = '';
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const value = raw[at + 1] ?? '';
    switch (answerField(name)) {
      case 'passes':
        break;
      case 'stays':
        continue;
      case 'connection':
        nominated = nominated === undefined ? value : `${nominated},${value}`;
        continue;
      case 'transfer-encoding':
        coding += value.trim().toLowerCase();
        continue;
      case 'content-length':
        // RFC 9110 §8.6: never with these; a cache further on could take it for a promise.
        if (frame.status === 204 || frame.status < 200) continue;
        measured = true;
        break;
      case 'trailer':
        announcesTrailers = true;
        break;
    }
    headers.push(name, value);
  }
  if (coding !== '' && coding !== 'chunked' && !frame.bodiless)
    return refused('the answer has a transfer coding besides chunked');
  const kept = nominated === undefined ? headers : withoutNominated(headers, nominated);
  if (!announcesTrailers || (frame.chunks && !frame.bodiless && !measured)) return kept;
  return without(kept, (name) => name === 'trailer');
}

/** Trailers that go to the client: none that would frame, route or authenticate (RFC 9110 §6.5.1). */
export function readTrailers(raw: readonly string[]): readonly string[] {
  if (raw.length === 0) return raw;
  return without(raw, (name) => answerField(name) !== 'passes' || isEndToEnd(name));
}

/** The value of one cookie in a Cookie field; quotes are part of it. */
export function cookieValue(field: string | undefined, name: string): string | undefined {
  if (field === undefined || !field.includes(name)) return undefined;
  let from = 0;
  while (from < field.length) {
    const semicolon = field.indexOf(';', from);
    const end = semicolon === -1 ? field.length : semicolon;
    const equals = field.indexOf('=', from);
    if (equals !== -1 && equals < end && field.slice(from, equals).trim() === name)
      return field.slice(equals + 1, end).trim();
    from = end + 1;
  }
  return undefined;
}

function withoutNominated(headers: string[], nominated: string): string[] {
  const lower = nominated.toLowerCase();
  if (lower === 'keep-alive' || lower === 'close') return headers;
  const names = new Set(lower.split(',').map((token) => token.trim()));
  return without(headers, (name) => names.has(name) && !isEndToEnd(name));
}

/** Drops fields by their names in lower case. */
function without(headers: readonly string[], isDropped: (name: string) => boolean): string[] {
  return headers.filter((_, at) => !isDropped(headers[at - (at % 2)]?.toLowerCase() ?? ''));
}

/** Ids of others are kept only where they are safe to log. */
function isRequestId(value: string): boolean {
  return value.length <= 128 && /^[\w.:+/=@-]+$/.test(value);
}
