// All the ways in which a path may be read: by routers, frameworks and proxies that decode once or
// twice, merge slashes, resolve dots, take backslashes for slashes, drop what follows a `;`, stop at a
// NUL, and so on. A reading is whatever some sequence of these rewritings makes of the path; the set
// is closed under them, so that no upstream's own chain of readers can come to one that is missing.
//
// In every reading segments are decoded (once more), without parameters and in lower case: these make
// a route match more, never less.

/** Values of a path's segments; empty ones stand where slashes repeat. */
export type Segments = readonly string[];

/** Where it has nothing to do, it is told by a pattern, which is cheaper than doing it. */
interface Rewriting {
  readonly where: RegExp;
  readonly rewrite: (path: string) => string;
}

/** Bytes of all rewritten paths together; what needs more is no path that anybody means. */
const BUDGET = 32_768;

/** Of a path that is not plain; most servers take no longer ones at all. */
const LONGEST = 8_192;

const ENCODED = /%[0-9a-f]{2}/i;
const OVERLONG = /[\xc0\xc1][\x80-\xbf]|\xe0[\x80\x81][\x80-\xbf]/g;

const REWRITINGS: readonly Rewriting[] = [
  { where: ENCODED, rewrite: decodeBytes },
  // What old decoders accept: IIS's own notation, and two or three bytes for an ASCII character.
  {
    where: /%u[0-9a-f]{4}|[\xc0\xc1\xe0][\x80-\xbf]/i,
    rewrite: (path) =>
      path
        .replace(/%u([0-9a-f]{4})/gi, (_, hex: string) => charOf(hex))
        .replace(OVERLONG, overlong),
  },
  { where: /\/\//, rewrite: (path) => path.replace(/\/{2,}/g, '/') },
  // RFC 3986 §5.2.4; and as WHATWG's URL parsers do it.
  {
    where: /\/\.{1,2}(?:\/|$)/,
    rewrite: (path) => resolveDots(path, /^\.$/, /^\.\.$/),
  },
  {
    where: /\/(?:\.|%2e){1,2}(?:\/|$)/i,
    rewrite: (path) => resolveDots(path, /^(?:\.|%2e)$/i, /^(?:\.|%2e){2}$/i),
  },
  { where: /\\/, rewrite: (path) => path.replaceAll('\\', '/') },
  { where: /;/, rewrite: (path) => path.replace(/;[^/]*/g, '') },
  // The end for readers in C, and for those that look for a query or fragment after they decoded.
  { where: /[\0?#]/, rewrite: (path) => path.replace(/[\0?#][^]*$/, '') },
  // `//host/path`, as a URL relative to a scheme, whose parsers skip more slashes than two.
  { where: /^\/\//, rewrite: (path) => path.replace(/^\/{2,}[^/]*/, '') },
  // URL parsers drop these, and those file systems.
  { where: /[\t\r\n]/, rewrite: (path) => path.replace(/[\t\r\n]/g, '') },
  { where: /[\0- ]$/, rewrite: (path) => path.replace(/[\0- ]+$/, '') },
  { where: /[. ](?:\/|$)/, rewrite: (path) => path.split('/').map(trimmed).join('/') },
];

/**
 * Every reading of a path that begins with `/`, the plainest first: split at slashes, then decoded.
 * Undefined when there are too many to look at.
 */
export function readingsOf(path: string): Segments[] | undefined {
  const paths = new Set([path]);
  const readings = new Map<string, Segments>();
  if (path.length > LONGEST) return undefined;
  let budget = BUDGET;
  // The set grows while it is walked.
  for (const one of paths) {
    const segments = segmentsOf(one);
    readings.set(JSON.stringify(segments), segments);
    for (const { where, rewrite } of REWRITINGS) {
      if (!where.test(one)) continue;
      const next = rooted(rewrite(one));
      if (paths.has(next)) continue;
      budget -= next.length;
      if (budget < 0) return undefined;
      paths.add(next);
    }
  }
  return [...readings.values()];
}

function rooted(path: string): string {
  return path.startsWith('/') ? path : `/${path}`;
}

function segmentsOf(path: string): Segments {
  const segments = path.slice(1).split('/').map(valueOf);
  if (segments.at(-1) === '') segments.pop();
  return segments;
}

function valueOf(segment: string): string {
  if (!/[%;\x80-\uffff]/.test(segment)) return segment.toLowerCase();
  const cut = segment.indexOf(';');
  const bytes = decodeBytes(cut === -1 ? segment : segment.slice(0, cut));
  return decodeText(bytes).toLowerCase();
}

function trimmed(segment: string): string {
  return segment === '.' || segment === '..' ? segment : segment.replace(/[. ]+$/, '');
}

/** Percent-decodes once; a % that encodes nothing stands for itself. */
function decodeBytes(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => charOf(hex));
}

function charOf(hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}

function overlong(bytes: string): string {
  const last = bytes.charCodeAt(bytes.length - 1) & 0x3f;
  return String.fromCharCode(((bytes.charCodeAt(bytes.length - 2) & 0x1f) << 6) | last);
}

/** Bytes read as UTF-8; those that are none stand for themselves (Latin-1). */
function decodeText(bytes: string): string {
  if (!/[\x80-\xff]/.test(bytes)) return bytes;
  try {
    return decodeURIComponent(bytes.replace(/[%\x80-\xff]/g, (byte) => `%${hexOf(byte)}`));
  } catch {
    return bytes;
  }
}

function hexOf(byte: string): string {
  return byte.charCodeAt(0).toString(16).padStart(2, '0');
}

function resolveDots(path: string, dot: RegExp, dots: RegExp): string {
  const kept: string[] = [];
  const segments = path.slice(1).split('/');
  for (const [at, segment] of segments.entries()) {
    if (dots.test(segment)) kept.pop();
    else if (!dot.test(segment)) {
      kept.push(segment);
      continue;
    }
    if (at === segments.length - 1) kept.push('');
  }
  return `/${kept.join('/')}`;
}
