// The change log's home in Kafka: a source's topic, read by the flow's own consumer group. Where it goes
// on is stored in the target, with the data (consume-offsets.ts); the group's offsets tell others how
// far it is, and count for nothing. A stored offset that is gone, or leads to what was never taken, ends
// it: what is missing is copied anew, never skipped.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BanyanError, isBanyanError } from '../../core/errors.ts';
import type { Fetched, KafkaClient } from '../../core/kafka/client.ts';
import { comparePositions, formatLsn, type Lsn, type Position } from '../../core/postgres/lsn.ts';
import type { ChangeLog } from '../change-log.ts';
import type { Piece } from '../domain/change.ts';
import type { Checkpoint } from '../target.ts';
import { Account, TICK_MS } from './consume-account.ts';
import { ChangesAssembly, type ChangesOptions } from './consume-changes.ts';
import { partitionName } from './consume-offsets.ts';
import { RecordQueue } from './consume-queue.ts';
import { beginningOf, startsOf, type Start } from './consume-start.ts';

export interface KafkaLogOptions extends Omit<ChangesOptions, 'from' | 'joined'> {
  readonly kafka: KafkaClient;
  readonly groupId: string;
  readonly topic: string;
  /** Bytes that may wait for the flow before no more is fetched. */
  readonly queueBytes?: number | undefined;
}

const MB = 1_048_576;
/** Bytes of records that one look turns into pieces: what comes in one look is written together. */
const READ_BYTES = 8 * MB;
const TURN_RECORDS = 500;

/** Throws KAFKA_UNREACHABLE, KAFKA_REFUSED, KAFKA_LOG_LOST. */
export async function openKafkaLog(
  options: KafkaLogOptions,
  { position, offsets }: Checkpoint,
): Promise<ChangeLog> {
  const stored = offsets?.get(partitionName({ topic: options.topic, partition: 0 }));
  const starts = await startsOf(options.kafka, options.topic, stored?.next);
  const log = new KafkaLog(options, position, starts);
  await log.begin();
  return log;
}

class KafkaLog implements ChangeLog {
  readonly timeline: number;
  readonly #options: KafkaLogOptions;
  readonly #name: string;
  readonly #from: Position;
  readonly #assembly: ChangesAssembly;
  readonly #starts: Start[];
  /** That the first record was the right one to begin at is known. */
  #sure = false;
  readonly #joined: boolean;
  #queue: RecordQueue | undefined;
  #closed = false;
  readonly #account = new Account(async (offsets) => this.#queue?.commit(offsets));
  #ticks: NodeJS.Timeout | undefined;

  constructor(options: KafkaLogOptions, from: Position, starts: readonly Start[]) {
    this.#options = options;
    this.#name = partitionName({ topic: options.topic, partition: 0 });
    this.#from = from;
    this.timeline = from.timeline;
    this.#joined = starts[0]?.joined === true;
    this.#assembly = new ChangesAssembly({ ...options, from, joined: this.#joined });
    this.#starts = [...starts];
  }

  /** Begins at the next of the offsets where that may be right. */
  async begin(): Promise<void> {
    await this.#queue?.close();
    const start = this.#starts.shift();
    if (!start || this.#closed) return;
    this.#sure = start.sure;
    const { kafka, groupId, queueBytes = 16 * MB } = this.#options;
    this.#queue = new RecordQueue({
      ...{ kafka, groupId, dense: true, queueBytes },
      from: new Map([[this.#name, start.offset]]),
    });
    await this.#queue.open();
    this.#ticks ??= setInterval(() => this.#queue?.poke(), TICK_MS);
  }

  async read(signal: AbortSignal): Promise<readonly Piece[]> {
    while (await this.#comes(signal)) {
      const pieces = await this.#assemble(this.#queue?.take(this.#name, READ_BYTES) ?? []);
      if (pieces.length > 0) return this.#account.hand(pieces);
      if (this.#account.owes) return this.#account.note();
    }
    return this.#account.note();
  }

  async #comes(signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.#queue?.wait(signal, undefined, () => this.#account.owes)) === true;
    } catch (error) {
      throw (await this.#overtaken(error)) ? overtaken(this.#options.topic) : error;
    }
  }

  /** Whether retention has come past the next record: the next life sees by what is left whether it lacks anything. */
  async #overtaken(error: unknown): Promise<boolean> {
    const next = this.#queue?.nextOf(this.#name);
    if (next === undefined || !isBanyanError(error, 'KAFKA_LOG_LOST')) return false;
    const { kafka, topic } = this.#options;
    return (await beginningOf(kafka, topic).catch(() => 0n)) > next;
  }

  acknowledge(endLsn: Lsn): void {
    this.#account.acknowledge(endLsn);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#ticks);
    await this.#queue?.close();
  }

  async #assemble(records: readonly Fetched[]): Promise<Piece[]> {
    const pieces: Piece[] = [];
    let left = TURN_RECORDS;
    for (const record of records) {
      if (!this.#sure && !(await this.#isRight(record))) break;
      const added = this.#assembly.add(record);
      // Most are there at once, and a turn for each would take longer than they do.
      const piece = added instanceof Promise ? await added : added;
      if (piece) pieces.push(piece);
      left -= 1;
      if (left > 0) continue;
      left = TURN_RECORDS;
      await nextTurn();
    }
    return pieces;
  }

  /** Whether nothing that was not taken lies before the first record; else it begins further back. Throws KAFKA_LOG_LOST. */
  async #isRight(first: Fetched): Promise<boolean> {
    const position = this.#assembly.positionOf(first);
    if (!position) return true;
    // A dead server's tail is left out, and says nothing; but what the flow itself has read, it has taken.
    if (position.timeline < this.#from.timeline) {
      this.#sure = this.#joined;
      return true;
    }
    this.#sure = comparePositions(position, this.#from) <= 0;
    if (this.#sure) return true;
    if (this.#starts.length === 0) throw beyond(first, position, this.#from);
    await this.begin();
    return false;
  }
}

function overtaken(topic: string): BanyanError {
  return new BanyanError(
    'KAFKA_UNREACHABLE',
    `retention has come past the flow in topic ${topic}: it looks whether anything of its own is gone`,
    { hint: 'Raise changeLog.kafka.topics.retentionMs (retention.ms of a topic that is there).' },
  );
}

function beyond({ topic, offset }: Fetched, found: Position, from: Position): BanyanError {
  const text = ({ commitLsn, seq }: Position): string => `${formatLsn(commitLsn)}/${seq}`;
  return new BanyanError(
    'KAFKA_LOG_LOST',
    `at offset ${offset} topic ${topic} is at ${text(found)} already, and the flow at ${text(from)}: what lies between is gone`,
    {
      hint: 'Roll the capability back to monolith and start its sync anew: the copy brings what is missing.',
    },
  );
}
