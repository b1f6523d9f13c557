// Are two answers the same? Status, media type, the headers that the definition names, then the
// body: JSON by structure (compare-json.ts), anything else byte by byte. A difference has two paths:
// `at` names the one place, to tell whether it is still there when both sides are asked again, and
// `path`, with `*` for every element, groups it in a report.
//
// Laws: equal values never differ; a changed leaf is found at its path unless that is ignored or
// tolerated; whether anything is found does not depend on which side is which.
import { compareJson, type JsonRules } from './compare-json.ts';
import type { Difference } from './difference-kind.ts';
import { ABSENT, isTooDeep, needExact, parseJson, type Json } from './json.ts';
import { compilePaths } from './paths.ts';

export type { Difference } from './difference-kind.ts';

export interface Answer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** What the definition says; compiled by `compileRules`. */
export interface CompareRules extends JsonRules {
  readonly headers: readonly string[];
  readonly ignoredHeaders: ReadonlySet<string>;
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
    ignoredHeaders: new Set(
      ignore.flatMap((path) => /^header (\S+)$/.exec(path.toLowerCase())?.[1] ?? []),
    ),
    ignore: compilePaths(set(ignore)),
    unordered: compilePaths(set(unordered)),
    tolerance: compilePaths(Object.entries(tolerance)),
  };
}

/** Two answers on their way to be compared; what costs time is done step by step, once. */
export class Comparison {
  readonly control: Answer;
  readonly candidate: Answer;
  #texts: readonly [string, string] | undefined;
  #exact = false;
  readonly #parsed: ({ readonly value: Json } | undefined)[] = [];

  constructor(control: Answer, candidate: Answer) {
    this.control = control;
    this.candidate = candidate;
  }

  /** Pieces of the work, each of about the same size, to be done before `differences`; may be left out. */
  get steps(): (() => void)[] {
    if (sameBytes(this.control, this.candidate)) return [];
    return [
      () => {
        this.#read();
      },
      () => {
        this.#json(0);
      },
      () => {
        this.#json(1);
      },
    ];
  }

  /** Every difference, within limits. */
  differences(rules: CompareRules): Difference[] {
    const { control, candidate } = this;
    // Another status is another kind of answer: its body would only repeat that.
    if (control.status !== candidate.status)
      return [plain('status', control.status, candidate.status)];
    const found: Difference[] = [];
    const types = [mediaType(control), mediaType(candidate)] as const;
    if (types[0] !== types[1] && !rules.ignoredHeaders.has('content-type'))
      found.push(plain('header content-type', types[0], types[1]));
    // Where a redirect leads is all that it says.
    const isRedirect = control.status >= 300 && control.status < 400 && control.status !== 304;
    const names = isRedirect ? new Set([...rules.headers, 'location']) : rules.headers;
    for (const name of names) {
      if (rules.ignoredHeaders.has(name)) continue;
      const values = [control.headers[name] ?? ABSENT, candidate.headers[name] ?? ABSENT] as const;
      if (values[0] !== values[1]) found.push(plain(`header ${name}`, values[0], values[1]));
    }
    if (sameBytes(control, candidate)) return found;
    const [one, other] = [this.#json(0), this.#json(1)];
    if (one && other) found.push(...compareValues(one.value, other.value, rules));
    else found.push(plain('body', describe(control, one), describe(candidate, other)));
    return found;
  }

  #read(): readonly [string, string] {
    if (!this.#texts) {
      this.#texts = [textOf(this.control), textOf(this.candidate)];
      this.#exact = needExact(...this.#texts);
    }
    return this.#texts;
  }

  #json(side: 0 | 1): { readonly value: Json } | undefined {
    if (!(side in this.#parsed)) {
      const text = this.#read()[side];
      const answer = side === 0 ? this.control : this.candidate;
      this.#parsed[side] =
        isJson(answer) && !isTooDeep(text) ? parseJson(text, this.#exact) : undefined;
    }
    return this.#parsed[side];
  }
}

/** Every difference between two answers, within limits. */
export function compareAnswers(
  control: Answer,
  candidate: Answer,
  rules: CompareRules,
): Difference[] {
  return new Comparison(control, candidate).differences(rules);
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
function sameBytes(a: Answer, b: Answer): boolean {
  return a.body.length === b.body.length && Buffer.compare(a.body, b.body) === 0;
}

const UTF_8 = new TextDecoder('utf-8', { fatal: true });
const LATIN_1 = new TextDecoder('latin1');

/** What is no UTF-8 is told apart byte by byte: replaced, all of it would be the same character. */
function textOf(answer: Answer): string {
  if (!isJson(answer)) return '';
  try {
    return UTF_8.decode(answer.body);
  } catch {
    return LATIN_1.decode(answer.body);
  }
}

function isJson(answer: Answer): boolean {
  const type = mediaType(answer);
  return type === 'application/json' || type.endsWith('+json');
}

function mediaType(answer: Answer): string {
  return (answer.headers['content-type'] ?? ABSENT).split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

function plain(path: string, control: unknown, candidate: unknown): Difference {
  return { path, at: path, control, candidate };
}

/** Begins with the kind of body, which noise.ts tells apart. */
function describe({ body }: Answer, json: unknown): string {
  if (body.length === 0) return 'empty';
  const kind = json === undefined ? 'text' : 'JSON';
  return `${kind} of ${body.length} bytes: ${new TextDecoder().decode(body.subarray(0, 100))}`;
}
