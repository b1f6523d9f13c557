// Encodes decoded changes as the records of Debezium's PostgreSQL connector. Two layouts: `table` is
// the connector's (a topic per table, tombstones, a change of key as delete and create), `changes`
// is one topic in which every change is one record, in commit order, whole transactions.
import { MESSAGE_PREFIX } from '../../../control/domain/names.ts';
import type { Lsn } from '../../../core/postgres/lsn.ts';
import type { Change, Piece, Relation, TransactionHead, Tuple } from '../change.ts';
import { Chain, type ChainEnd, type Footing, type Headers } from './chain.ts';
import type { Concerns } from './concern.ts';
import { HEARTBEAT_KEY, HEARTBEAT_VALUE, MESSAGE_KEY, messageSchema } from './frames.ts';
import { quote } from './json-text.ts';
import { HEADERS, positionStart } from './position.ts';
import { DEBEZIUM_DEFAULTS, type Modes, type SourceTables } from './source.ts';
import { SourceText } from './source-text.ts';
import { TableFrames, type TableFrame } from './table-frames.ts';
import { topicName } from './topics.ts';
import type { OutRecord } from './out-record.ts';
import { MESSAGES, TransactionCounter } from './transactions.ts';
import { writerOf, type Writer } from './write-value.ts';

export interface EncoderOptions {
  /** `topic.prefix`: the name of the source in topics and records. */
  readonly prefix: string;
  readonly database: string;
  readonly timeline: number;
  /** `changes` (one topic, exact values) or the connector's `table`. */
  readonly layout: 'changes' | 'table';
  /** Whether every record carries its schema (`schemas.enable`). */
  readonly schemas?: boolean;
  /** The connector's modes that differ from its defaults (in `changes`: decimals are strings). */
  readonly modes?: Partial<Modes>;
  readonly tables: SourceTables;
  readonly outboxes?: ReadonlySet<string>;
  /** Of those the ones whose rows nobody reads here: each change has its place, and no columns. */
  readonly unread?: ReadonlySet<string>;
  /** What `source.version` says. */
  readonly version?: string;
  /** What it goes on from; records do not say what they follow where that is not known. */
  readonly footing?: Footing;
  readonly concerns?: Concerns | undefined;
}

/** The modes of our own layout: nothing is lost. */
export const EXACT_MODES: Modes = { ...DEBEZIUM_DEFAULTS, decimals: 'string', exact: true };

type Operation = 'c' | 'u' | 'd' | 't';

export function createEncoder(options: EncoderOptions): Encoder {
  return new Encoder(options);
}

export type { Encoder };

class Encoder {
  readonly #options: EncoderOptions;
  readonly #modes: Modes;
  readonly #changesTopic: string;
  readonly #messageTopic: string;
  readonly #messageSchema: string;
  readonly #writeContent: Writer;
  readonly #inTables: boolean;
  readonly #frames: TableFrames;
  readonly #counter: TransactionCounter;
  readonly #source: SourceText;
  readonly #chain: Chain;
  #head: TransactionHead | undefined;
  #lastCommit: Lsn | undefined;
  #position = '';
  #records: OutRecord[] = [];

  constructor(options: EncoderOptions) {
    const { prefix, layout } = options;
    this.#options = options;
    this.#inTables = layout === 'table';
    const base = this.#inTables ? DEBEZIUM_DEFAULTS : EXACT_MODES;
    this.#modes = { ...base, ...options.modes };
    this.#changesTopic = topicName(`${prefix}.changes`);
    this.#messageTopic = this.#inTables ? topicName(`${prefix}.message`) : this.#changesTopic;
    this.#counter = new TransactionCounter({
      topic: this.#inTables ? topicName(`${prefix}.transaction`) : this.#changesTopic,
      schemas: options.schemas === true,
    });
    const { binary } = this.#modes;
    this.#messageSchema = messageSchema(binary === 'bytes' ? 'bytes' : 'string');
    this.#writeContent = writerOf({ kind: 'binary', as: binary }, false);
    this.#frames = new TableFrames(options, this.#modes);
    this.#source = new SourceText({ version: 'banyan', ...options });
    this.#chain = new Chain(options.timeline, options.footing, options.concerns);
  }

  /** Throws FLOW_STOPPED at a table whose columns the catalog, as it was read, does not know. */
  encode(piece: Piece, nowMs: number): OutRecord[] {
    const { head, changes, firstSeq, endLsn } = piece;
    if (this.#head !== head) this.#open(head);
    const records: OutRecord[] = [];
    this.#records = records;
    const now = `,"ts_ms":${nowMs},"ts_us":${nowMs}000,"ts_ns":${nowMs}000000`;
    for (let index = 0; index < changes.length; index++) {
      const change = changes[index];
      if (!change) continue;
      const lsn = piece.lsns?.[index] ?? head.commitLsn;
      const isFirst = !this.#counter.begun;
      if (isFirst) this.#begin(lsn, firstSeq);
      const follows = this.#chain.carries(change, isFirst);
      const id = this.#inTables ? `${head.xid}:${lsn}` : this.#counter.id;
      this.#change(change, {
        nowMs,
        now,
        id,
        lsn,
        follows: this.#inTables ? undefined : follows,
        position: `${this.#position}${firstSeq + index}`,
      });
    }
    if (endLsn !== undefined) this.#close(endLsn, firstSeq + changes.length - 1);
    return records;
  }

  /** Of what has been encoded. */
  get end(): ChainEnd | undefined {
    return this.#chain.end;
  }

  /**
   * The record by which the connector shows that it lives. With `idle` it says besides that all is
   * written up to there; to be asked for when all pieces have been encoded.
   */
  heartbeat(nowMs: number, idle?: Lsn): OutRecord {
    const { prefix } = this.#options;
    return {
      topic: this.#inTables ? topicName(`__debezium-heartbeat.${prefix}`) : this.#changesTopic,
      key: this.#framed(HEARTBEAT_KEY, `{"serverName":${quote(prefix)}}`),
      value: this.#framed(HEARTBEAT_VALUE, `{"ts_ms":${nowMs}}`),
      headers: idle === undefined ? {} : this.#chain.idle(idle),
    };
  }

  #open(head: TransactionHead): void {
    this.#head = head;
    this.#source.open(head, this.#lastCommit);
    this.#position = positionStart(this.#options.timeline, head.commitLsn);
    this.#counter.reset(head);
  }

  #begin(lsn: Lsn, seq: number): void {
    const head = this.#head;
    if (!head) return;
    const id = `${head.xid}:${this.#inTables ? lsn : head.commitLsn}`;
    const headers = { [HEADERS.position]: `${this.#position}${seq}` };
    const { topic, key, value } = this.#counter.begin(id);
    this.#records.push({ topic, key, value, headers, partition: 0 });
  }

  #close(endLsn: Lsn, seq: number): void {
    const head = this.#head;
    if (!head) return;
    if (this.#counter.begun) {
      const id = `${head.xid}:${this.#inTables ? endLsn : head.commitLsn}`;
      const headers = this.#chain.ends(`${this.#position}${seq}`, head.commitLsn, endLsn);
      const { topic, key, value } = this.#counter.end(id);
      this.#records.push({ topic, key, value, headers, partition: 0 });
    }
    this.#lastCommit = endLsn;
    this.#head = undefined;
  }

  #change(change: Change, at: Place): void {
    switch (change.kind) {
      case 'insert':
        this.#row(change.relation, 'c', undefined, change.after, at);
        return;
      case 'update':
        this.#update(change.relation, change.before, change.after, at);
        return;
      case 'delete':
        this.#row(change.relation, 'd', change.before, undefined, at);
        if (this.#inTables) this.#tombstone(change.relation, change.before, at);
        return;
      case 'truncate':
        this.#truncate(change.relations, at);
        return;
      case 'message':
        this.#message(change.prefix, change.content, at);
    }
  }

  #update(relation: Relation, before: Tuple | undefined, after: Tuple, at: Place): void {
    const { writer, keySchema: schema } = this.#frames.of(relation);
    if (!this.#inTables || !before || !writer.keyChanges(before, after)) {
      this.#row(relation, 'u', before, after, at);
      return;
    }
    const oldKey = this.#framed(schema, writer.key(before));
    const newKey = this.#framed(schema, writer.key(after));
    const moved = { '__debezium.newkey': newKey };
    this.#row(relation, 'd', before, undefined, at, moved);
    this.#tombstone(relation, before, at, moved);
    const headers = { '__debezium.oldkey': oldKey, [HEADERS.part]: '2' };
    this.#row(relation, 'c', undefined, after, at, headers);
  }

  #row(
    relation: Relation,
    operation: Operation,
    before: Tuple | undefined,
    after: Tuple | undefined,
    at: Place,
    headers?: Readonly<Record<string, string>>,
  ): void {
    const table = this.#frames.of(relation);
    const { writer, isUnread } = table;
    const old = before && !isUnread ? writer.before(before) : 'null';
    const row = after && !isUnread ? writer.after(after) : 'null';
    const source = this.#source.of(table.source, at.lsn);
    const transaction = this.#counter.event(writer.name, at.id);
    this.#records.push({
      topic: this.#inTables ? writer.topic : this.#changesTopic,
      key: this.#inTables ? this.#key(table, after ?? before) : null,
      value: this.#framed(
        table.valueSchema,
        `{"before":${old},"after":${row},${source},${transaction},"op":"${operation}"${at.now}}`,
      ),
      headers:
        headers || at.follows
          ? { [HEADERS.position]: at.position, ...headers, ...at.follows }
          : { [HEADERS.position]: at.position },
      everywhere: operation === 't' && this.#inTables ? true : undefined,
    });
  }

  #key(table: TableFrame, tuple: Tuple | undefined): string | null {
    if (!tuple || !table.writer.hasKey) return null;
    return this.#framed(table.keySchema, table.writer.key(tuple));
  }

  #tombstone(
    relation: Relation,
    before: Tuple,
    at: Place,
    moved?: Readonly<Record<string, string>>,
  ): void {
    const table = this.#frames.of(relation);
    const key = this.#key(table, before);
    const headers = { [HEADERS.position]: at.position, [HEADERS.part]: '1', ...moved };
    this.#records.push({ topic: table.writer.topic, key, value: null, headers });
  }

  #truncate(relations: readonly Relation[], at: Place): void {
    if (this.#inTables) {
      for (const relation of relations) this.#row(relation, 't', undefined, undefined, at);
      return;
    }
    const [first] = relations;
    if (!first) return;
    const names = JSON.stringify(relations.map(({ schema, table }) => [schema, table]));
    this.#row(first, 't', undefined, undefined, at, { [HEADERS.tables]: names });
  }

  #message(prefix: string, content: string, at: Place): void {
    const source = this.#source.of('"","table":""', at.lsn);
    const transaction = this.#counter.event(MESSAGES, at.id);
    const encoded = this.#writeContent(`\\x${Buffer.from(content, 'utf8').toString('hex')}`);
    const own = this.#inTables && prefix === MESSAGE_PREFIX;
    this.#records.push({
      topic: own ? '' : this.#messageTopic,
      key: this.#inTables && !own ? this.#framed(MESSAGE_KEY, `{"prefix":${quote(prefix)}}`) : null,
      value: this.#framed(
        this.#messageSchema,
        `{"op":"m","ts_ms":${at.nowMs},${source},${transaction},"message":{"prefix":${quote(prefix)},"content":${encoded}}}`,
      ),
      headers: {
        [HEADERS.position]: at.position,
        ...(own ? { [HEADERS.message]: '1' } : {}),
        ...at.follows,
      },
    });
  }

  #framed(schema: string, payload: string): string {
    return this.#options.schemas ? `{"schema":${schema},"payload":${payload}}` : payload;
  }
}

/** What the records of one change share. */
interface Place {
  readonly nowMs: number;
  /** The stamps of the encoding. */
  readonly now: string;
  /** The transaction's id as these records have it. */
  readonly id: string;
  readonly lsn: Lsn;
  /** What it comes behind; of the first change of a transaction, or of a capability in it. */
  readonly follows: Headers | undefined;
  readonly position: string;
}
