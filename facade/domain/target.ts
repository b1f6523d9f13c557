// The one rule by which a request target is read.
//
// 1. Served are the origin form and, as RFC 9112 §3.2.2 demands, the absolute form of http and https
//    whose authority is that of the Host field; it is forwarded in origin form, the only rewriting
//    there is. All else (another authority, `*`, `host:port`) is refused, and so are control bytes.
// 2. What is forwarded is, byte for byte, what was received. A path that programs could read in
//    several ways (`//`, dot segments, `%2f`, `%2e`, backslashes, `..;x`, `%00`, double encoding;
//    readings.ts has the list) is refused only where it matters who reads it:
//      no reading is claimed by a capability            → to the monolith, as ever
//      all readings are claimed by the same one, alike  → where that claim goes
//      some are, others are not                         → under that claim, but to the monolith only:
//                                                         refused once the service owns it
//      readings are claimed differently                 → refused
//    So nothing reaches an upstream past the claim under which that upstream would read it, a service
//    gets nothing outside its claims, and while all goes to the monolith next to nothing is refused.
// 3. A reading ignores case, parameters (`;jsessionid=…`) and a trailing slash.
import { readingsOf, type Segments } from './readings.ts';

export interface Target {
  readonly kind: 'target';
  /** Path and query as received; forwarded unchanged. */
  readonly raw: string;
  /** The plainest reading: values to match routes with. `/` has none. */
  readonly segments: Segments;
  /** Every other reading. */
  readonly others: readonly Segments[];
  /** What follows the `?`; empty when there is none. */
  readonly query: string;
}

/** Answered with `status` before anything is forwarded. */
export interface Refused {
  readonly kind: 'refused';
  readonly why: string;
  readonly status: 400 | 417;
}

/** What a capability has on a path; whatever else tells two claims apart makes no difference here. */
export interface Claim {
  readonly capability: string;
  readonly kind: string;
}

/** The reading that a target goes by. */
export interface Settled {
  readonly kind: 'settled';
  readonly segments: Segments;
  /** Every reading is claimed alike; otherwise only the monolith may get it. */
  readonly certain: boolean;
}

const SLASH = 0x2f;
const BACKSLASH = 0x5c;
const DOT = 0x2e;
const HASH = 0x23;
const PERCENT = 0x25;
const SEMICOLON = 0x3b;
const DELETE = 0x7f;
const NONE: readonly Segments[] = [];

/** Makes a refusal; `why` is shown to the client. */
export function refused(why: string, status: Refused['status'] = 400): Refused {
  return { kind: 'refused', why, status };
}

/** Reads a request target (RFC 9112 §3.2); `host` is the value of the Host field. */
export function parseTarget(received: string, host?: string): Target | Refused {
  const raw = received.charCodeAt(0) === SLASH ? received : originForm(received, host);
  if (raw === undefined)
    return refused('the request target is neither a path nor a URL of this host');
  const mark = raw.indexOf('?');
  const end = mark === -1 ? raw.length : mark;
  const query = mark === -1 ? '' : raw.slice(mark + 1);
  for (let at = end + 1; at < raw.length; at++)
    if (isControl(raw.charCodeAt(at)))
      return refused('the query has a character that is not allowed');
  const segments: string[] = [];
  let start = 1;
  let plain = true;
  let upper = false;
  for (let at = 1; at <= end; at++) {
    const code = at === end ? SLASH : raw.charCodeAt(at);
    if (code === SLASH) {
      if (at === start && at === end) break;
      const segment = raw.slice(start, at);
      if (at === start || raw.charCodeAt(at - 1) === DOT) plain = false;
      segments.push(upper ? segment.toLowerCase() : segment);
      start = at + 1;
      upper = false;
    } else if (isControl(code)) {
      return refused('the path has a character that is not allowed');
    } else if (isUpper(code)) {
      upper = true;
    } else if (isSpecial(code)) {
      plain = false;
    }
  }
  if (plain) return { kind: 'target', raw, segments, others: NONE, query };
  const readings = readingsOf(raw.slice(0, end));
  if (!readings) return refused('the path can be read in too many ways');
  const [first = [], ...others] = readings;
  return { kind: 'target', raw, segments: first, others, query };
}

/** Picks the reading that a target goes by; `claim` says what is claimed, for the request's method. */
export function settle(
  target: Target,
  claim: (segments: Segments) => Claim | undefined,
): Settled | Refused {
  if (target.others.length === 0)
    return { kind: 'settled', segments: target.segments, certain: true };
  let settled: { segments: Segments; claim: Claim } | undefined;
  let unclaimed = false;
  for (const segments of [target.segments, ...target.others]) {
    const found = claim(segments);
    if (!found) unclaimed = true;
    else if (!settled) settled = { segments, claim: found };
    else if (found.capability !== settled.claim.capability || found.kind !== settled.claim.kind)
      return refused('the path can be read as different routes');
  }
  return settled
    ? { kind: 'settled', segments: settled.segments, certain: !unclaimed }
    : { kind: 'settled', segments: target.segments, certain: true };
}

/** The origin form of an absolute target; undefined unless its authority is that of `host`. */
function originForm(target: string, host: string | undefined): string | undefined {
  const parts = /^(https?):\/\/([^/?#\\]*)(.*)$/is.exec(target);
  if (!parts || host === undefined) return undefined;
  const [, scheme = '', authority = '', rest = ''] = parts;
  const port = scheme.toLowerCase() === 'https' ? ':443' : ':80';
  if (bare(authority, port) === '' || bare(authority, port) !== bare(host, port)) return undefined;
  return rest.startsWith('/') ? rest : `/${rest}`;
}

function bare(authority: string, port: string): string {
  const lower = authority.toLowerCase();
  return lower.endsWith(port) ? lower.slice(0, -port.length) : lower;
}

function isControl(code: number): boolean {
  return code <= 0x20 || code === DELETE || code > 0xff;
}

function isUpper(code: number): boolean {
  return code >= 0x41 && code <= 0x5a;
}

/** Whether it can make for more than one reading, or has to be decoded. */
function isSpecial(code: number): boolean {
  return (
    code === PERCENT || code === SEMICOLON || code === BACKSLASH || code === HASH || code >= 0x80
  );
}
