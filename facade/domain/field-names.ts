// What the name of a field says of its way across the facade. Names come in any spelling; the few that
// a fleet of clients really uses are remembered as they were spelled.
import { remembered } from './remembered.ts';
import { isHearsay } from './forwarded.ts';

/** Marks what is asked for a comparison's sake. */
export const COPY_FIELD = 'x-banyan-shadow';

export type RequestField =
  | 'passes'
  /** Of one hop, or said by the facade itself. */
  | 'stays'
  /** Only a proxy may say it. */
  | 'hearsay'
  | 'connection'
  | 'content-length'
  | 'copy'
  | 'expect'
  | 'host'
  | 'transfer-encoding'
  | 'upgrade'
  | 'x-request-id';

export type AnswerField =
  'passes' | 'stays' | 'connection' | 'content-length' | 'trailer' | 'transfer-encoding';

/** Fields with a rule of their own, fields of one hop, and HTTP/2's upgrade offer, which we ignore as RFC 9110 §7.8 allows. */
const OF_REQUESTS = new Map<string, RequestField>([
  ['connection', 'connection'],
  ['expect', 'expect'],
  ['http2-settings', 'stays'],
  ['keep-alive', 'stays'],
  ['proxy-authorization', 'stays'],
  ['proxy-connection', 'stays'],
  ['te', 'stays'],
  ['trailer', 'stays'],
  ['transfer-encoding', 'transfer-encoding'],
  ['upgrade', 'upgrade'],
  [COPY_FIELD, 'copy'],
  ['x-request-id', 'x-request-id'],
  ['host', 'host'],
  ['content-length', 'content-length'],
]);

const OF_ANSWERS = new Map<string, AnswerField>([
  ['connection', 'connection'],
  ['keep-alive', 'stays'],
  ['proxy-authenticate', 'stays'],
  ['proxy-connection', 'stays'],
  ['te', 'stays'],
  ['transfer-encoding', 'transfer-encoding'],
  ['upgrade', 'stays'],
  ['content-length', 'content-length'],
  ['trailer', 'trailer'],
]);

// Nobody may make us drop these by nominating them.
const END_TO_END = new Set(['host', 'content-length', 'content-type', 'cookie', 'authorization']);

/** Of a request's field, in any spelling. */
export const requestField: (name: string) => RequestField = remembered((name) => {
  const lower = name.toLowerCase();
  const known = OF_REQUESTS.get(lower);
  if (known !== undefined) return known;
  if (isHearsay(lower)) return 'hearsay';
  return isOurs(lower) ? 'stays' : 'passes';
});

/** Of an answer's field, in any spelling. */
export const answerField: (name: string) => AnswerField = remembered(
  (name) => OF_ANSWERS.get(name.toLowerCase()) ?? 'passes',
);

/** Whether no client may say this field; `name` is in lower case. */
export function isOurs(name: string): boolean {
  if (name.includes('_')) {
    const dashed = name.replaceAll('_', '-');
    return isOurs(dashed) || OF_REQUESTS.has(dashed);
  }
  return isHearsay(name) || name.startsWith('x-banyan-');
}

/** Whether a message could not be framed, addressed or understood without it; `name` is in lower case. */
export function isEndToEnd(name: string): boolean {
  return END_TO_END.has(name);
}
