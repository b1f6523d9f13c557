// The one rule by which a request target is read. What two programs could read differently is
// refused, never repaired: absolute and asterisk form, `//`, `.` and `..` segments (also as %2e and
// as `..;x`), encoded slashes and backslashes, control bytes, a broken %. What remains has exactly
// one meaning, so the string that was matched is the string that is forwarded.
//
// A segment's value, for matching only, is percent-decoded once, without matrix parameters
// (`;jsessionid=…`) and in lower case: an upstream that decodes, drops or folds these would take the
// request for the claimed route, so the facade must too. A trailing slash changes nothing.

export interface Target {
  readonly kind: 'target';
  /** As received, query included; forwarded unchanged. */
  readonly raw: string;
  /** Values to match routes with. `/` has none. */
  readonly segments: readonly string[];
  /** What follows the `?`; empty when there is none. */
  readonly query: string;
}

/** Answered with 400 before anything is forwarded. */
export interface Refused {
  readonly kind: 'refused';
  readonly why: string;
}

const SLASH = 0x2f;
const BACKSLASH = 0x5c;
const HASH = 0x23;
const PERCENT = 0x25;
const SEMICOLON = 0x3b;
const DELETE = 0x7f;

/** Makes a refusal; `why` is shown to the client. */
export function refused(why: string): Refused {
  return { kind: 'refused', why };
}

/** Reads the request target of RFC 9112 §3.2; only the origin form is served. */
export function parseTarget(raw: string): Target | Refused {
  if (raw.charCodeAt(0) !== SLASH) return refused('the request target must begin with /');
  const mark = raw.indexOf('?');
  const end = mark === -1 ? raw.length : mark;
  const segments: string[] = [];
  let start = 1;
  let plain = true;
  for (let at = 1; at <= end; at++) {
    const code = at === end ? SLASH : raw.charCodeAt(at);
    if (code === SLASH) {
      if (at === start) {
        if (at === end) break;
        return refused('the path has an empty segment');
      }
      const segment = raw.slice(start, at);
      const value = plain ? segment : valueOf(segment);
      if (typeof value !== 'string') return value;
      if (value === '.' || value === '..') return refused('the path has a dot segment');
      segments.push(value);
      start = at + 1;
      plain = true;
    } else if (isControl(code) || code === HASH || code === BACKSLASH) {
      return refused('the path has a character that is not allowed');
    } else if (code === PERCENT || code === SEMICOLON || isUpper(code) || code >= 0x80) {
      plain = false;
    }
  }
  for (let at = end + 1; at < raw.length; at++) {
    const code = raw.charCodeAt(at);
    if (isControl(code) || code === HASH)
      return refused('the query has a character that is not allowed');
  }
  return { kind: 'target', raw, segments, query: mark === -1 ? '' : raw.slice(mark + 1) };
}

function isControl(code: number): boolean {
  return code <= 0x20 || code === DELETE || code > 0xff;
}

function isUpper(code: number): boolean {
  return code >= 0x41 && code <= 0x5a;
}

/** The value of a segment that is more than plain lower-case ASCII. */
function valueOf(segment: string): string | Refused {
  if (/%(?![0-9a-f]{2})/i.test(segment)) return refused('the path has a broken percent-encoding');
  if (/%(?:2f|5c)/i.test(segment)) return refused('the path has an encoded slash or backslash');
  if (/%(?:[01][0-9a-f]|7f)/i.test(segment)) return refused('the path has an encoded control byte');
  const cut = segment.indexOf(';');
  if (cut === 0) return refused('the path has an empty segment');
  return decode(cut === -1 ? segment : segment.slice(0, cut)).toLowerCase();
}

/** Percent-decodes as UTF-8; bytes that are no UTF-8 stand for themselves (Latin-1). */
function decode(value: string): string {
  const escaped = value.replace(
    /[\u0080-\u00ff]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16)}`,
  );
  try {
    return decodeURIComponent(escaped);
  } catch {
    return escaped.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
  }
}
