// Where a record stands in its source's log, as the headers of our records say it.
import { formatLsn, parseLsn, type Lsn, type Position } from '../../../core/postgres/lsn.ts';

export const HEADERS = {
  /** `timeline/commit LSN/seq`. */
  position: 'banyan.position',
  /** Which of the records of one change: a change of key is several. */
  part: 'banyan.part',
  /** On a message of our own in layout `table`. */
  message: 'banyan.message',
  /** On the END of a transaction: where the next one begins. */
  end: 'banyan.end',
  /**
   * On the first change of a transaction in `changes`: the commit LSN of the one before it, those that
   * only have heartbeats left out; on the END of such a one too.
   */
  after: 'banyan.after',
  /**
   * By capability, the commit LSN of the last transaction before it that had something of it, where that is
   * not what `after` says: on the first change of each in a transaction; on an END, of all, up to there.
   */
  behind: 'banyan.behind',
  /** On that one, and on an END: the life of the slot that it came by. */
  life: 'banyan.life',
  /**
   * Beside `after`, where retention had deleted all before it: what committed up to here may have come
   * behind that, and is gone. Who has read the topic without a gap has it.
   */
  gone: 'banyan.gone',
  /** On a record that only says so: up to here there is nothing behind the transaction that it names. */
  idle: 'banyan.idle',
  /** Numbers of tables that the definition does not name, one but for a TRUNCATE: they may have been renamed. */
  table: 'banyan.table',
  /** On a TRUNCATE of several tables: all of them. */
  tables: 'banyan.tables',
} as const;

/** What the positions of a transaction have in common. */
export function positionStart(timeline: number, commitLsn: bigint): string {
  return `${timeline}/${formatLsn(commitLsn)}/`;
}

const POSITION = /^(\d+)\/([0-9A-F]+\/[0-9A-F]+)\/(\d+)$/i;

/** Undefined when the header is missing or none of ours. */
export function parsePosition(header: string | undefined): Position | undefined {
  const match = header === undefined ? null : POSITION.exec(header);
  if (!match) return undefined;
  return {
    timeline: Number(match[1]),
    commitLsn: parseLsn(match[2] ?? ''),
    seq: Number(match[3]),
  };
}

/** Reads positions one after the other: most begin as the one before them. */
export class Positions {
  /** What those of a transaction have in common, and what it says. */
  #start = '';
  #common: Omit<Position, 'seq'> = { timeline: 0, commitLsn: 0n };

  /** Undefined as with `parsePosition`. */
  read(header: string | undefined): Position | undefined {
    if (header === undefined) return undefined;
    const start = this.#start;
    if (start !== '' && header.startsWith(start)) {
      const seq = numberAt(header, start.length);
      if (seq !== undefined) return { ...this.#common, seq };
    }
    const position = parsePosition(header);
    if (!position) return undefined;
    const { timeline, commitLsn } = position;
    this.#start = header.slice(0, header.lastIndexOf('/') + 1);
    this.#common = { timeline, commitLsn };
    return position;
  }
}

const [ZERO, NINE] = [0x30, 0x39];

/** The digits from a place to the end, as a number. */
function numberAt(text: string, from: number): number | undefined {
  let value = 0;
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < ZERO || code > NINE) return undefined;
    value = value * 10 + code - ZERO;
  }
  return from < text.length ? value : undefined;
}

/** The commit LSN that the first change of a transaction follows. */
export function afterOf(headers: Readonly<Record<string, string>>): Lsn | undefined {
  const after = headers[HEADERS.after];
  return after === undefined ? undefined : parseLsn(after);
}

/** Up to where changes before it are gone. */
export function goneOf(headers: Readonly<Record<string, string>>): Lsn | undefined {
  const gone = headers[HEADERS.gone];
  return gone === undefined ? undefined : parseLsn(gone);
}

/** By capability, the last transaction that had something of it; `after` is that of those left out. */
export type Behind = ReadonlyMap<string, Lsn>;

export function behindOf(headers: Readonly<Record<string, string>>): Behind {
  return parseBehind(headers[HEADERS.behind]);
}

/** Undefined where it says nothing. */
export function formatBehind(behind: Iterable<readonly [string, Lsn]>): string | undefined {
  const text = Array.from(behind, ([id, lsn]) => `${id}=${formatLsn(lsn)}`).join(',');
  return text === '' ? undefined : text;
}

export function parseBehind(text: string | undefined): Behind {
  const entries = (text ?? '').split(',').map((entry) => entry.split('='));
  return new Map(
    entries.flatMap(([id, lsn]): [string, Lsn][] =>
      id !== undefined && lsn !== undefined ? [[id, parseLsn(lsn)]] : [],
    ),
  );
}

/** What an END, or a record that repeats it, says of how far a topic goes. */
export interface Mark {
  readonly life: string | undefined;
  /** Of the last change of the transaction, and where the next one begins. */
  readonly position: Position;
  readonly endLsn: Lsn;
  /** Everything that ends up to here is there. */
  readonly completeTo: Lsn;
  /** What the next transaction comes behind, where that is not this one. */
  readonly after?: Lsn | undefined;
  readonly behind?: Behind;
  /** Set while nothing has come behind what retention had deleted. */
  readonly gone?: Lsn | undefined;
}

/** Undefined for any other record. */
export function markOf(headers: Readonly<Record<string, string>>): Mark | undefined {
  const end = headers[HEADERS.end];
  const position = end === undefined ? undefined : parsePosition(headers[HEADERS.position]);
  if (end === undefined || !position) return undefined;
  const endLsn = parseLsn(end);
  const idle = headers[HEADERS.idle];
  return {
    life: headers[HEADERS.life],
    ...{ position, endLsn },
    completeTo: idle === undefined ? endLsn : parseLsn(idle),
    ...{ after: afterOf(headers), behind: behindOf(headers), gone: goneOf(headers) },
  };
}
