// Topics of tables, several partitions, as pieces. Each partition has its own order; what speaks of all
// of them (our messages, and a TRUNCATE of its topic) stands in each, and counts once they have all come
// to it: nothing that lies before it is left, nothing behind it has gone on. So marks, heartbeats and
// barriers mean what they mean in one sequence.
import type { Fetched } from '../../core/kafka/client.ts';
import { comparePositions, type Position } from '../../core/postgres/lsn.ts';
import type { Change, LogPlace, Piece, TransactionHead } from '../domain/change.ts';
import { HEADERS, Positions } from '../domain/debezium/position.ts';
import type { Offsets } from './consume-offsets.ts';
import { sizeOf } from './consume-queue.ts';
import type { ChangesOptions } from './consume-changes.ts';

const PIECE_CHANGES = 1_000;

export interface LanesOptions extends ChangesOptions {
  /** All partitions that are read, by `topic/partition`, and where they begin. */
  readonly lanes: ReadonlyMap<string, bigint>;
  readonly offsets: Offsets;
}

/** A change in several partitions; those of one topic, or all. */
interface Wall {
  readonly change: Change;
  readonly head: TransactionHead;
  readonly position: Position;
  readonly topic: string | undefined;
  readonly place: LogPlace;
}

interface Lane {
  readonly name: string;
  readonly topic: string;
  place: LogPlace;
  records: Fetched[];
  /** What it waits at. */
  wall: Wall | undefined;
}

/** Changes of one transaction, in one partition, that follow each other. */
interface Stretch {
  readonly head: TransactionHead;
  readonly firstSeq: number;
  readonly changes: Change[];
  bytes: number;
}

export class LanesAssembly {
  readonly #options: LanesOptions;
  readonly #lanes: readonly Lane[];
  readonly #positions = new Positions();
  /** All partitions have come to what stands here. */
  #complete: Position;
  #pieces: Piece[] = [];
  /** Whether it has been told where each partition is: from then on it is known how many there were. */
  #told = false;

  constructor(options: LanesOptions) {
    this.#options = options;
    this.#complete = options.from;
    this.#lanes = [...options.lanes].map(([name, next]) => ({
      name,
      topic: name.slice(0, name.lastIndexOf('/')),
      place: options.offsets.get(name) ?? { next, position: options.from, part: PARTS },
      records: [],
      wall: undefined,
    }));
  }

  /** Partitions that wait for others; their records are not wanted yet. */
  waits(name: string): boolean {
    return this.#lanes.some((lane) => lane.name === name && lane.wall !== undefined);
  }

  /** Takes the next records of a partition. */
  give(name: string, records: readonly Fetched[]): void {
    this.#lanes.find((lane) => lane.name === name)?.records.push(...records);
  }

  /** The pieces that what was given makes. Throws FLOW_STOPPED. */
  async take(): Promise<Piece[]> {
    do for (const lane of this.#lanes) await this.#run(lane);
    while (this.#pass());
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  /** On to the next wall, or to the end of what there is. */
  async #run(lane: Lane): Promise<void> {
    let stretch: Stretch | undefined;
    let done = 0;
    for (; done < lane.records.length && !lane.wall; done++) {
      const record = lane.records[done] as Fetched;
      const next = record.offset + 1n;
      if (this.#wasTaken(lane, record)) {
        lane.place = { ...lane.place, next };
        continue;
      }
      const decoded = this.#options.decode(record);
      const position = 'position' in decoded ? decoded.position : undefined;
      const isEvent = decoded.kind === 'change' || decoded.kind === 'foreign';
      if (!isEvent || !position || !isNew(lane, position, decoded.part)) {
        lane.place = { ...lane.place, next };
        continue;
      }
      const { position: before } = lane.place;
      if (position.timeline > before.timeline)
        await this.#options.continues(before, position.timeline);
      const place = { next, position, part: decoded.part };
      const { xid = 0, commitMs, origin } = decoded.head;
      const { timeline, commitLsn, seq } = position;
      const head = { xid, commitLsn, commitMs, origin, timeline };
      if (decoded.kind === 'foreign') {
        this.#options.foreign(decoded, record.headers);
        lane.place = place;
        continue;
      }
      const { change } = decoded;
      if (change.kind === 'message' || change.kind === 'truncate') {
        const topic = change.kind === 'truncate' ? lane.topic : undefined;
        lane.wall = { change, head, position, topic, place };
        continue;
      }
      if (
        stretch &&
        (stretch.head.commitLsn !== commitLsn || stretch.changes.length >= PIECE_CHANGES)
      ) {
        this.#hand(lane, stretch);
        stretch = undefined;
      }
      stretch ??= { head, firstSeq: seq, changes: [], bytes: 0 };
      stretch.changes.push(change);
      stretch.bytes += sizeOf(record);
      lane.place = place;
    }
    if (stretch) this.#hand(lane, stretch);
    lane.records.splice(0, done);
  }

  /** By its headers alone: what need not be taken need not be readable either. */
  #wasTaken(lane: Lane, { headers }: Fetched): boolean {
    const position = this.#positions.read(headers[HEADERS.position]);
    return position !== undefined && !isNew(lane, position, Number(headers[HEADERS.part] ?? 0));
  }

  /** Lets the partitions pass that have all come to the same wall; says whether any did. */
  #pass(): boolean {
    const walls = this.#lanes.flatMap(({ wall }) => wall ?? []);
    for (const wall of walls) {
      const among = this.#lanes.filter(
        ({ topic }) => wall.topic === undefined || topic === wall.topic,
      );
      if (
        !among.every(
          (lane) => lane.wall && comparePositions(lane.wall.position, wall.position) >= 0,
        )
      )
        continue;
      const places = new Map<string, LogPlace>();
      for (const lane of among)
        if (lane.wall && comparePositions(lane.wall.position, wall.position) === 0) {
          lane.place = lane.wall.place;
          lane.wall = undefined;
          places.set(lane.name, lane.place);
        }
      if (wall.topic === undefined) this.#complete = wall.position;
      const { head, change, position } = wall;
      this.#add(head, [change], position.seq, 0, places);
      return true;
    }
    return false;
  }

  #hand(lane: Lane, { head, changes, firstSeq, bytes }: Stretch): void {
    this.#add(head, changes, firstSeq, bytes, new Map([[lane.name, lane.place]]));
  }

  #add(
    head: TransactionHead,
    changes: readonly Change[],
    firstSeq: number,
    bytes: number,
    places: ReadonlyMap<string, LogPlace>,
  ): void {
    const all = this.#told ? [] : this.#lanes.map(({ name, place }) => [name, place] as const);
    this.#told = true;
    this.#pieces.push({
      ...{ head, changes, firstSeq, bytes },
      size: changes.length,
      // Each piece is an end: the partitions of a transaction come one by one.
      endLsn: head.commitLsn,
      read: { places: new Map([...all, ...places]), complete: this.#complete, due: false },
    });
  }
}

/** More than a change has records: a position that was taken, was taken whole. */
const PARTS = 1_000;

function isNew({ place: last }: Lane, position: Position, part: number): boolean {
  const { position: before } = last;
  if (position.timeline < before.timeline) return false;
  return (comparePositions(position, before) || part - last.part) > 0;
}
