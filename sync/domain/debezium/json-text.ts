// JSON as the change records need it: strings written fast, and a reader that keeps every number as
// the digits it was sent with, for an int8 or a count of nanoseconds is more than a double holds.
import { BanyanError } from '../../../core/errors.ts';

// eslint-disable-next-line no-control-regex -- control characters are what JSON escapes
const ESCAPED = /["\\\u0000-\u001f]/;

/** A JSON string. */
export function quote(text: string): string {
  return ESCAPED.test(text) ? JSON.stringify(text) : `"${text}"`;
}

/** A number, by its digits. */
export class Digits {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Json = null | boolean | string | Digits | readonly Json[] | JsonObject;

/** Members by their names; a map, for a column may be called `__proto__`. */
export type JsonObject = ReadonlyMap<string, Json>;

export function isObject(json: Json | undefined): json is JsonObject {
  return json instanceof Map;
}

export function isList(json: Json | undefined): json is readonly Json[] {
  return Array.isArray(json);
}

/** Reads a JSON text; throws FLOW_STOPPED when it is none. */
export function readJson(text: string): Json {
  return new JsonReader(text).document();
}

/** Reads the value that begins at a character of a text, and tells where it ends. */
export function readMember(text: string, at: number): { value: Json; end: number } {
  return new JsonReader(text, at).member();
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const POINT = 0x2e;
const [ZERO, NINE] = [0x30, 0x39];
const [LARGE_E, SMALL_E] = [0x45, 0x65];
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

export class JsonReader {
  readonly #text: string;
  #at: number;

  constructor(text: string, at = 0) {
    this.#text = text;
    this.#at = at;
  }

  /** Where it stands. */
  get at(): number {
    return this.#at;
  }

  /** Goes past a text that comes next; false, and not a step, where another does. */
  passes(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false;
    this.#at += text.length;
    return true;
  }

  /** The value that comes next. Throws FLOW_STOPPED where there is none. */
  value(): Json {
    return this.#value();
  }

  member(): { value: Json; end: number } {
    return { value: this.#value(), end: this.#at };
  }

  document(): Json {
    const value = this.#value();
    this.#space();
    if (this.#at !== this.#text.length) throw this.#broken();
    return value;
  }

  #value(): Json {
    this.#space();
    const code = this.#text.charCodeAt(this.#at);
    switch (code) {
      case QUOTE:
        return this.#string();
      case 0x7b: // {
        return this.#object();
      case 0x5b: // [
        return this.#list();
      case 0x74: // t
        return this.#word('true', true);
      case 0x66: // f
        return this.#word('false', false);
      case 0x6e: // n
        return this.#word('null', null);
      default:
        return this.#number();
    }
  }

  #word(word: string, value: boolean | null): boolean | null {
    if (!this.#text.startsWith(word, this.#at)) throw this.#broken();
    this.#at += word.length;
    return value;
  }

  #number(): Digits {
    const text = this.#text;
    const start = this.#at;
    const first = text.charCodeAt(start) === MINUS ? start + 1 : start;
    let end = first;
    let code = text.charCodeAt(end);
    while (code >= ZERO && code <= NINE) code = text.charCodeAt((end += 1));
    const isPlain = end > first && (text.charCodeAt(first) !== ZERO || end === first + 1);
    if (!isPlain || code === POINT || code === LARGE_E || code === SMALL_E) return this.#fraction();
    this.#at = end;
    return new Digits(text.substring(start, end));
  }

  #fraction(): Digits {
    NUMBER.lastIndex = this.#at;
    const found = NUMBER.exec(this.#text);
    if (!found) throw this.#broken();
    this.#at = NUMBER.lastIndex;
    return new Digits(found[0]);
  }

  #string(): string {
    const text = this.#text;
    const start = this.#at + 1;
    let end = text.indexOf('"', start);
    if (end === -1) throw this.#broken();
    const plain = text.substring(start, end);
    if (!plain.includes('\\')) {
      this.#at = end + 1;
      return plain;
    }
    for (end = start; text.charCodeAt(end) !== QUOTE; end++) {
      if (end >= text.length) throw this.#broken();
      if (text.charCodeAt(end) === BACKSLASH) end += 1;
    }
    this.#at = end + 1;
    return JSON.parse(text.substring(start - 1, end + 1)) as string;
  }

  #list(): readonly Json[] {
    const items: Json[] = [];
    this.#at += 1;
    if (this.#closes(0x5d)) return items;
    do items.push(this.#value());
    while (this.#goesOn(0x5d));
    return items;
  }

  #object(): JsonObject {
    const members = new Map<string, Json>();
    this.#at += 1;
    if (this.#closes(0x7d)) return members;
    do {
      this.#space();
      if (this.#text.charCodeAt(this.#at) !== QUOTE) throw this.#broken();
      const name = this.#string();
      this.#space();
      if (this.#text.charCodeAt(this.#at) !== 0x3a) throw this.#broken();
      this.#at += 1;
      members.set(name, this.#value());
    } while (this.#goesOn(0x7d));
    return members;
  }

  #closes(bracket: number): boolean {
    this.#space();
    if (this.#text.charCodeAt(this.#at) !== bracket) return false;
    this.#at += 1;
    return true;
  }

  /** True after a comma, false after the bracket. */
  #goesOn(bracket: number): boolean {
    if (this.#closes(bracket)) return false;
    if (this.#text.charCodeAt(this.#at) !== COMMA) throw this.#broken();
    this.#at += 1;
    return true;
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at += 1;
    }
  }

  #broken(): BanyanError {
    return new BanyanError(
      'FLOW_STOPPED',
      `a record is not JSON: unexpected text at character ${this.#at}`,
      {
        hint: "The flow reads JSON: set the connector's key.converter and value.converter to org.apache.kafka.connect.json.JsonConverter.",
      },
    );
  }
}
