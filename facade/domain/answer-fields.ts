// The lines of an HTTP/1 message, read strictly (RFC 9112 §2.2, §4, §5): a name is a token directly before
// its colon, a line ends with CR LF and nothing else, none is continued on the next, and no value has a
// control character but the tab. What lenient parsers disagree about is malformed here.

/** An answer that could be read in two ways, or in none; its connection is of no use any more. */
export class MalformedAnswer extends Error {
  override readonly name = 'MalformedAnswer';
  readonly code = 'BANYAN_MALFORMED_ANSWER';

  constructor(what: string) {
    super(`the upstream's answer is malformed: ${what}`);
  }
}

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
const DELETE = 0x7f;

/** By character code: whether a field's name may have it (RFC 9110 §5.6.2). */
const TOKEN = new Uint8Array(256);
for (const char of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
  TOKEN[char.charCodeAt(0)] = 1;

export interface StatusLine {
  /** Of HTTP/1: 0 or 1. */
  readonly minor: number;
  readonly status: number;
  /** As received, byte for byte. */
  readonly reason: string;
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: ([^\0\r\n]*))?$/;

/** Throws MalformedAnswer. */
export function readStatusLine(line: string): StatusLine {
  const parts = STATUS_LINE.exec(line);
  if (!parts) throw new MalformedAnswer('it has no status line of HTTP/1');
  return { minor: parts[1] === '0' ? 0 : 1, status: Number(parts[2]), reason: parts[3] ?? '' };
}

/**
 * Names and values by turns, as received, from `at` to the end of a text whose lines all end with CR LF.
 * Throws MalformedAnswer.
 */
export function readFields(text: string, at: number): string[] {
  const fields: string[] = [];
  let start = at;
  while (start < text.length) {
    let end = start;
    while (TOKEN[text.charCodeAt(end)] === 1) end += 1;
    if (end === start || text.charCodeAt(end) !== COLON)
      throw new MalformedAnswer('a line is no field');
    fields.push(text.slice(start, end));
    start = end + 1;
    while (isSpace(text.charCodeAt(start))) start += 1;
    end = start;
    let last = start;
    for (let code = text.charCodeAt(end); code !== CR; code = text.charCodeAt(end)) {
      // Beyond the end it is no number, and so no control character: the caller's text ends with CR LF.
      if (!(code >= SPACE || code === TAB) || code === DELETE)
        throw new MalformedAnswer('a field has a control character');
      end += 1;
      if (!isSpace(code)) last = end;
    }
    if (text.charCodeAt(end + 1) !== LF) throw new MalformedAnswer('a line ends without LF');
    fields.push(text.slice(start, last));
    start = end + 2;
  }
  return fields;
}

function isSpace(code: number): boolean {
  return code === SPACE || code === TAB;
}
