// Are two answers the same? Status, media type, the headers that the definition names, then the
// body: JSON by structure (compare-json.ts), anything else byte by byte. A difference has two paths:
// `at` names the one place, to tell whether it is still there when both sides are asked again, and
// `path`, with `*` for every element, groups it in a report.
//
// Laws: equal values never differ; a changed leaf is found at its path unless that is ignored or
// tolerated; whether anything is found does not depend on which side is which.
import { compareJson, type Difference, type JsonRules } from './compare-json.ts';
import { ABSENT, parseJson, type Json } from './json.ts';
import { compilePaths } from './paths.ts';

export type { Difference } from './compare-json.ts';

export interface Answer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** What the definition says; compiled by `compileRules`. */
export interface CompareRules extends JsonRules {
  readonly headers: readonly string[];
}

export function compileRules(given: {
  readonly headers?: readonly string[];
  readonly ignore?: readonly string[];
  readonly unordered?: readonly string[];
  readonly tolerance?: Readonly<Record<string, number>>;
}): CompareRules {
  const { headers = [], ignore = [], unordered = [], tolerance = {} } = given;
  const set = (paths: readonly string[]): [string, number][] => paths.map((path) => [path, 1]);
  return {
    headers: headers.map((name) => name.toLowerCase()),
    ignore: compilePaths(set(ignore)),
    unordered: compilePaths(set(unordered)),
    tolerance: compilePaths(Object.entries(tolerance)),
  };
}

/** An answer that is parsed once, when that is first asked for. */
export class Reading {
  readonly answer: Answer;
  #parsed: { readonly value: Json } | undefined | 'not yet' = 'not yet';

  constructor(answer: Answer) {
    this.answer = answer;
  }

  /** The body as JSON; undefined when it is none. */
  json(): { readonly value: Json } | undefined {
    if (this.#parsed === 'not yet') this.#parsed = jsonOf(this.answer);
    return this.#parsed;
  }
}

/** Every difference between two answers, within limits. */
export function compareAnswers(
  control: Answer,
  candidate: Answer,
  rules: CompareRules,
): Difference[] {
  return compareReadings(new Reading(control), new Reading(candidate), rules);
}

/** The same for answers that may have been parsed already. */
export function compareReadings(one: Reading, other: Reading, rules: CompareRules): Difference[] {
  const { answer: control } = one;
  const { answer: candidate } = other;
  // Another status is another kind of answer: its body would only repeat that.
  if (control.status !== candidate.status)
    return [plain('status', control.status, candidate.status)];
  const found: Difference[] = [];
  const types = [mediaType(control), mediaType(candidate)] as const;
  if (types[0] !== types[1]) found.push(plain('header content-type', types[0], types[1]));
  for (const name of rules.headers) {
    const values = [control.headers[name] ?? ABSENT, candidate.headers[name] ?? ABSENT] as const;
    if (values[0] !== values[1]) found.push(plain(`header ${name}`, values[0], values[1]));
  }
  if (sameBytes(control, candidate)) return found;
  const bodies = [one.json(), other.json()] as const;
  if (bodies[0] && bodies[1]) found.push(...compareValues(bodies[0].value, bodies[1].value, rules));
  else found.push(plain('body', describe(one), describe(other)));
  return found;
}

function compareValues(control: Json, candidate: Json, rules: CompareRules): Difference[] {
  try {
    return compareJson(control, candidate, rules);
  } catch (error) {
    // The stack is finite, and a candidate may nest without end.
    if (error instanceof RangeError) return [plain('body', 'JSON', 'JSON nested too deeply')];
    throw error;
  }
}

/** Whether the bodies are equal to the last byte: then nobody needs to parse them. */
export function sameBytes(a: Answer, b: Answer): boolean {
  return a.body.length === b.body.length && Buffer.compare(a.body, b.body) === 0;
}

function jsonOf(answer: Answer): { readonly value: Json } | undefined {
  const type = mediaType(answer);
  if (type !== 'application/json' && !type.endsWith('+json')) return undefined;
  return parseJson(new TextDecoder().decode(answer.body));
}

function mediaType(answer: Answer): string {
  return (answer.headers['content-type'] ?? ABSENT).split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

function plain(path: string, control: unknown, candidate: unknown): Difference {
  return { path, at: path, control, candidate };
}

/** Begins with the kind of body, which noise.ts tells apart. */
function describe(reading: Reading): string {
  const { body } = reading.answer;
  if (body.length === 0) return 'empty';
  const kind = reading.json() ? 'JSON' : 'text';
  return `${kind} of ${body.length} bytes: ${new TextDecoder().decode(body.subarray(0, 100))}`;
}
