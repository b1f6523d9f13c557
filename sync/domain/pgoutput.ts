// Decoder of the pgoutput protocol, version 1 (PostgreSQL documentation, "Logical Replication
// Message Formats"): whole transactions in commit order. Feed it one message at a time; it keeps
// the relations it was told about, as they were and as they are, and throws on anything it does not
// know. So a change may be decoded long after it came, and more than once.
import type { TableName } from '../../core/postgres/identifiers.ts';
import type { Change, Relation, Tuple, Value } from './change.ts';

export type LogMessage =
  | {
      readonly kind: 'begin';
      readonly commitLsn: bigint;
      /** Unix microseconds by the server's clock. */
      readonly commitUs: number;
      readonly xid: number;
    }
  | { readonly kind: 'origin'; readonly name: string }
  | { readonly kind: 'commit'; readonly endLsn: bigint }
  | { readonly kind: 'change'; readonly change: Change }
  | { readonly kind: 'other' };

/** Microseconds between the Unix epoch and PostgreSQL's (2000-01-01). */
const POSTGRES_EPOCH_US = 946_684_800_000_000;

/** Longer messages are decoded value by value: what is not needed of them is not kept in memory. */
const PLAIN_BYTES = 1_024;

const OTHER: LogMessage = { kind: 'other' };

/** A table as it was described, and as it had been before. */
interface Described {
  readonly relation: Relation;
  readonly since: number;
  readonly before: Described | undefined;
}

export class PgOutputDecoder {
  readonly #relations = new Map<number, Described>();
  readonly #names: ReadonlyMap<number, TableName>;
  readonly #typed: boolean;
  #version = 0;
  /** The version of the message that is being decoded. */
  #asOf = 0;
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;

  /**
   * `names` are those of tables by their numbers; others keep the name that they come with. With `typed`,
   * relations tell the types of their columns.
   */
  constructor(names: ReadonlyMap<number, TableName> = new Map(), typed = false) {
    this.#names = names;
    this.#typed = typed;
  }

  /** Counts the descriptions that said something new. */
  get version(): number {
    return this.#version;
  }

  /**
   * Decodes the message that starts at `offset` of `buffer` and ends before `end`; with the tables as
   * they were described when it came, at `version`.
   */
  decode(buffer: Buffer, offset: number, end: number, version = this.#version): LogMessage {
    this.#asOf = version;
    this.#buffer = buffer;
    this.#at = offset + 1;
    this.#end = end;
    const tag = buffer[offset];
    switch (tag) {
      case 0x49: // I
        return { kind: 'change', change: this.#insert() };
      case 0x55: // U
        return { kind: 'change', change: this.#update() };
      case 0x44: // D
        return { kind: 'change', change: this.#delete() };
      case 0x42: // B
        return {
          kind: 'begin',
          commitLsn: this.#uint64(),
          commitUs: this.#timeUs(),
          xid: this.#uint32(),
        };
      case 0x43: // C
        this.#at += 1 + 8;
        return { kind: 'commit', endLsn: this.#uint64() };
      case 0x52: // R
        this.#relation();
        return OTHER;
      case 0x4d: // M
        return { kind: 'change', change: this.#message() };
      case 0x54: // T
        return { kind: 'change', change: this.#truncate() };
      case 0x4f: // O
        this.#at += 8;
        return { kind: 'origin', name: this.#string() };
      case 0x59: // Y
        return OTHER;
      default:
        throw new RangeError(`unknown pgoutput message 0x${(tag ?? 0).toString(16)}`);
    }
  }

  #insert(): Change {
    const relation = this.#known();
    this.#at += 1; // 'N'
    return { kind: 'insert', relation, after: this.#tuple() };
  }

  #update(): Change {
    const relation = this.#known();
    let before: Tuple | undefined;
    if (this.#buffer[this.#at++] !== 0x4e) {
      before = this.#tuple();
      this.#at += 1; // 'N'
    }
    const after = this.#tuple();
    // Under replica identity full an unchanged TOAST value is missing from the new row but not from the old.
    if (before) restoreUnchanged(after, before);
    return { kind: 'update', relation, before, after };
  }

  #delete(): Change {
    const relation = this.#known();
    this.#at += 1; // 'K' or 'O'
    return { kind: 'delete', relation, before: this.#tuple() };
  }

  #truncate(): Change {
    const count = this.#uint32();
    this.#at += 1; // options
    const relations: Relation[] = [];
    for (let index = 0; index < count; index++) relations.push(this.#known());
    return { kind: 'truncate', relations };
  }

  #message(): Change {
    this.#at += 1 + 8; // flags, LSN
    const prefix = this.#string();
    const length = this.#uint32();
    const content = this.#buffer.toString('utf8', this.#at, this.#at + length);
    return { kind: 'message', prefix, content };
  }

  #relation(): void {
    const oid = this.#uint32();
    const schema = this.#string() || 'pg_catalog';
    const table = this.#string();
    const identity = String.fromCharCode(this.#buffer[this.#at++] ?? 0);
    const count = this.#uint16();
    const columns = [];
    for (let index = 0; index < count; index++) {
      const key = (this.#buffer[this.#at++] ?? 0) === 1;
      const name = this.#string();
      const typeOid = this.#uint32();
      const typmod = this.#uint32() | 0;
      columns.push({ name, key, ...(this.#typed && { typeOid, typmod }) });
    }
    const described = this.#typed ? { oid, identity } : {};
    const relation = { schema, table, ...this.#names.get(oid), columns, ...described };
    const before = this.#relations.get(oid);
    // The server says it again now and then, also where something has changed that it does not say.
    if (before && JSON.stringify(before.relation) === JSON.stringify(relation)) {
      if (this.#typed) this.#relations.set(oid, { ...before, relation });
      return;
    }
    this.#version += 1;
    this.#relations.set(oid, { relation, since: this.#version, before });
  }

  #tuple(): Value[] {
    return this.#plainTuple() ?? this.#anyTuple();
  }

  /**
   * Short messages of ASCII texts, the most common ones, decoded at once; undefined for any other.
   * As many characters as bytes means that each is one byte: a character of several bytes makes the
   * text shorter, and nothing makes it longer (the bytes of a length are one replacement character
   * each, for what follows them never continues a character).
   */
  #plainTuple(): Value[] | undefined {
    const buffer = this.#buffer;
    const start = this.#at;
    const length = this.#end - start;
    if (length > PLAIN_BYTES) return undefined;
    const text = buffer.toString('utf8', start, this.#end);
    if (text.length !== length) return undefined;
    const count = buffer.readUInt16BE(start);
    const values = new Array<Value>(count);
    let at = 2;
    for (let index = 0; index < count; index++) {
      const tag = buffer[start + at++];
      if (tag === 0x74) {
        const from = at + 4;
        at = from + buffer.readUInt32BE(start + at);
        values[index] = text.substring(from, at);
      } else if (tag === 0x6e) values[index] = null;
      else if (tag === 0x75) values[index] = undefined;
      else throw new RangeError(`unknown column format 0x${(tag ?? 0).toString(16)}`);
    }
    this.#at = start + at;
    return values;
  }

  #anyTuple(): Value[] {
    const buffer = this.#buffer;
    const count = this.#uint16();
    const values = new Array<Value>(count);
    let at = this.#at;
    for (let index = 0; index < count; index++) {
      const tag = buffer[at++];
      if (tag === 0x74) {
        const length = buffer.readUInt32BE(at);
        at += 4;
        values[index] = buffer.toString('utf8', at, at + length);
        at += length;
      } else if (tag === 0x6e) values[index] = null;
      else if (tag === 0x75) values[index] = undefined;
      else throw new RangeError(`unknown column format 0x${(tag ?? 0).toString(16)}`);
    }
    this.#at = at;
    return values;
  }

  #known(): Relation {
    const oid = this.#uint32();
    let described = this.#relations.get(oid);
    while (described && described.since > this.#asOf) described = described.before;
    if (!described) throw new RangeError(`a change of relation ${oid} came before its description`);
    return described.relation;
  }

  /** Exact until the year 2255. */
  #timeUs(): number {
    return Number(this.#uint64()) + POSTGRES_EPOCH_US;
  }

  #uint64(): bigint {
    const value = this.#buffer.readBigUInt64BE(this.#at);
    this.#at += 8;
    return value;
  }

  #uint32(): number {
    const value = this.#buffer.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  #uint16(): number {
    const value = this.#buffer.readUInt16BE(this.#at);
    this.#at += 2;
    return value;
  }

  #string(): string {
    const end = this.#buffer.indexOf(0, this.#at);
    const value = this.#buffer.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return value;
  }
}

function restoreUnchanged(after: Value[], before: Tuple): void {
  for (let index = 0; index < after.length; index++)
    if (after[index] === undefined && before[index] !== null) after[index] = before[index];
}
