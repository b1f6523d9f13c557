// Which header fields cross the facade. A message that two parsers could frame differently is
// refused; hop-by-hop fields (RFC 9110 §7.6.1) and those that Connection nominates stay on their
// hop; what only the facade may say (x-forwarded-*, x-banyan-*) is dropped from outside, also in
// the spelling with underscores, which CGI-like upstreams cannot tell from the one with dashes.
import { refused, type Refused } from './target.ts';

export interface Peer {
  readonly address: string;
  readonly proto: 'http' | 'https';
}

export interface RequestHead {
  readonly kind: 'head';
  /** Names and values by turns, ready to be forwarded. */
  readonly headers: string[];
  readonly requestId: string;
  readonly hasBody: boolean;
  readonly expectsContinue: boolean;
  /** The protocol that the client wants to change to, where it is one we must answer for. */
  readonly websocket: boolean;
}

// Fields of one hop, fields that the facade sets itself, and HTTP/2's upgrade offer, which we ignore
// as RFC 9110 §7.8 allows.
const DROPPED_FROM_REQUEST = new Set([
  'connection',
  'expect',
  'forwarded',
  'http2-settings',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-request-id',
]);

const DROPPED_FROM_RESPONSE = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

// A client may not make us drop these by nominating them.
const END_TO_END = new Set(['host', 'content-length', 'content-type', 'cookie', 'authorization']);

/** Reads a request's fields (names and values by turns, as received) and says what is passed on. */
export function readRequestHead(
  raw: readonly string[],
  peer: Peer,
  freshId: () => string,
): RequestHead | Refused {
  const headers: string[] = [];
  let host: string | undefined;
  let nominated: string | undefined;
  let coding: string | undefined;
  let length = '';
  let requestId: string | undefined;
  let expectsContinue = false;
  let websocket = false;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const value = raw[at + 1] ?? '';
    const lower = name.toLowerCase();
    if (DROPPED_FROM_REQUEST.has(lower)) {
      if (lower === 'connection')
        nominated = nominated === undefined ? value : `${nominated},${value}`;
      else if (lower === 'transfer-encoding')
        coding = coding === undefined ? value : `${coding},${value}`;
      else if (lower === 'expect') expectsContinue = value.toLowerCase() === '100-continue';
      else if (lower === 'upgrade') websocket ||= /\bwebsocket\b/i.test(value);
      else if (lower === 'x-request-id') requestId = value;
      continue;
    }
    if (lower === 'host') {
      if (host !== undefined) return refused('the request has two Host fields');
      if (!isHost(value)) return refused('the Host field is not a host');
      host = value;
    } else if (lower === 'content-length') {
      length = value;
    } else if (isOurs(lower)) continue;
    headers.push(name, value);
  }
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked')
    return refused('the only transfer coding that is served is chunked');
  if (coding !== undefined && length !== '')
    return refused('the request has both a length and a transfer coding');
  const kept = nominated === undefined ? headers : withoutNominated(headers, nominated);
  const id = requestId !== undefined && isRequestId(requestId) ? requestId : freshId();
  kept.push('x-forwarded-for', peer.address, 'x-forwarded-proto', peer.proto, 'x-request-id', id);
  if (host !== undefined) kept.push('x-forwarded-host', host);
  return {
    kind: 'head',
    headers: kept,
    requestId: id,
    hasBody: coding !== undefined || (length !== '' && Number(length) > 0),
    expectsContinue,
    websocket,
  };
}

/** The fields of an upstream's answer that go to the client, names and values by turns. */
export function readResponseHead(raw: readonly string[]): string[] {
  const headers: string[] = [];
  let nominated: string | undefined;
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    const value = raw[at + 1] ?? '';
    const lower = name.toLowerCase();
    if (DROPPED_FROM_RESPONSE.has(lower)) {
      if (lower === 'connection')
        nominated = nominated === undefined ? value : `${nominated},${value}`;
    } else headers.push(name, value);
  }
  return nominated === undefined ? headers : withoutNominated(headers, nominated);
}

/** The value of one cookie in a Cookie field; quotes are part of it. */
export function cookieValue(field: string | undefined, name: string): string | undefined {
  if (field === undefined) return undefined;
  for (const pair of field.split(';')) {
    const equals = pair.indexOf('=');
    if (equals !== -1 && pair.slice(0, equals).trim() === name)
      return pair.slice(equals + 1).trim();
  }
  return undefined;
}

/** Whether only the facade may say this field; `name` is in lower case. */
export function isOurs(name: string): boolean {
  if (name.includes('_')) {
    const dashed = name.replaceAll('_', '-');
    return (
      isOurs(dashed) ||
      DROPPED_FROM_REQUEST.has(dashed) ||
      dashed === 'host' ||
      dashed === 'content-length'
    );
  }
  return (
    name.charCodeAt(0) === 0x78 && (name.startsWith('x-forwarded-') || name.startsWith('x-banyan-'))
  );
}

function withoutNominated(headers: string[], nominated: string): string[] {
  const lower = nominated.toLowerCase();
  if (lower === 'keep-alive' || lower === 'close') return headers;
  const names = new Set(lower.split(',').map((token) => token.trim()));
  return headers.filter((_, at) => {
    const name = headers[at - (at % 2)]?.toLowerCase() ?? '';
    return END_TO_END.has(name) || !names.has(name);
  });
}

/** Characters of RFC 3986's host and port; nothing that could end a host for one reader only. */
function isHost(value: string): boolean {
  return /^[\w.\-~%!$&'()*+,;=:[\]]*$/.test(value);
}

/** Ids of others are kept only where they are safe to log. */
function isRequestId(value: string): boolean {
  return value.length <= 128 && /^[\w.:+/=@-]+$/.test(value);
}
