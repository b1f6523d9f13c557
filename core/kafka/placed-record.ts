// Records where a fetch has brought them: what of one is not asked for, is never made. What waits for a flow
// is bytes so, and nothing for the garbage collector.
import type { Fetched } from './client.ts';
import { Cursor } from './cursor.ts';

/** Records as a batch has them, one behind the other. */
export interface Run {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: Buffer;
  /** Where the first begins, and how many there are. */
  readonly at: number;
  readonly count: number;
  /** What the records' own offsets and times are counted from. */
  readonly firstOffset: bigint;
  readonly firstMs: number;
  /** Of all of them, where the broker has dated them. */
  readonly appendedMs: number | undefined;
}

/** Those from an offset on. Throws a RangeError where the bytes are no records. */
export function recordsOf(run: Run, from: bigint): Fetched[] {
  const records: Fetched[] = [];
  const cursor = new Cursor(run.bytes, run.at);
  // Most stand right behind each other.
  let delta = -1;
  let offset = run.firstOffset - 1n;
  for (let left = run.count; left > 0; left--) {
    const length = cursor.number();
    const end = cursor.at + length;
    if (length < 0 || end > run.bytes.length)
      throw new RangeError('a record ends behind its batch');
    // Attributes, of which there are none yet.
    cursor.byte();
    const ms = run.firstMs + cursor.long();
    const next = cursor.number();
    offset = next === delta + 1 ? offset + 1n : run.firstOffset + BigInt(next);
    delta = next;
    if (offset >= from)
      records.push(new PlacedRecord(run, cursor.at, offset, run.appendedMs ?? ms, length));
    cursor.at = end;
  }
  return records;
}

/**
 * The last one whose headers were asked for: they are asked for several times in a row. None keeps its own:
 * what is made of a record that has waited would live as long as it does.
 */
let latest:
  { readonly record: Fetched; readonly headers: Readonly<Record<string, string>> } | undefined;

class PlacedRecord implements Fetched {
  readonly offset: bigint;
  readonly timestampMs: number;
  readonly bytes: number;
  readonly #run: Run;
  /** Where its key begins. */
  readonly #at: number;

  constructor(run: Run, at: number, offset: bigint, timestampMs: number, bytes: number) {
    this.#run = run;
    this.#at = at;
    this.offset = offset;
    this.timestampMs = timestampMs;
    this.bytes = bytes;
  }

  get topic(): string {
    return this.#run.topic;
  }

  get partition(): number {
    return this.#run.partition;
  }

  get key(): string | null {
    return new Cursor(this.#run.bytes, this.#at).text();
  }

  get value(): string | null {
    const cursor = new Cursor(this.#run.bytes, this.#at);
    cursor.skip();
    return cursor.text();
  }

  get headers(): Readonly<Record<string, string>> {
    if (latest?.record !== this) latest = { record: this, headers: this.#readHeaders() };
    return latest.headers;
  }

  #readHeaders(): Record<string, string> {
    const cursor = new Cursor(this.#run.bytes, this.#at);
    cursor.skip();
    cursor.skip();
    const headers: Record<string, string> = {};
    for (let left = cursor.number(); left > 0; left--) {
      const name = nameAt(cursor);
      const text = cursor.text();
      // Of several of one name the last one counts; one without a value says nothing.
      if (text !== null) headers[name] = text;
    }
    return headers;
  }
}

/** Names of headers that have been met: nearly all records have the same few. */
const names: { readonly bytes: Buffer; readonly name: string }[] = [];
const MOST_NAMES = 32;

function nameAt(cursor: Cursor): string {
  const { bytes } = cursor;
  const length = cursor.number();
  const from = cursor.at;
  for (const one of names)
    if (one.bytes.length === length && isAt(bytes, from, one.bytes)) {
      cursor.at += length;
      return one.name;
    }
  cursor.at = from + Math.max(0, length);
  const name = bytes.toString('utf8', from, cursor.at);
  if (names.length < MOST_NAMES) names.push({ bytes: Buffer.from(name), name });
  return name;
}

function isAt(bytes: Buffer, from: number, wanted: Buffer): boolean {
  for (let index = 0; index < wanted.length; index++)
    if (bytes[from + index] !== wanted[index]) return false;
  return true;
}
