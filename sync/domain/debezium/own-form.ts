// Records in the very form in which ours are written (encoder.ts): both ends of a transaction, and changes
// of rows. Of those only what somebody wants is read; most of a record's text says what nobody here asks
// for. Whatever looks otherwise is none of them, and is for whoever reads any JSON (decoder.ts).
import type { RecordHead } from './record-head.ts';
import { BEFORE } from './row-reader.ts';

export interface OwnMark {
  readonly kind: 'begin' | 'end';
  readonly xid: number;
  readonly count: number;
}

export interface OwnRow {
  readonly schema: string;
  readonly table: string;
  readonly operation: 'c' | 'u' | 'd';
  readonly head: RecordHead;
  /** Where its rows end. */
  readonly end: number;
}

const MARK =
  /^\{"status":"(?:(BEGIN)|END)","id":"(\d+):\d+","event_count":(?:null|(\d+)),"data_collections":(?:null|\[.*\]),"ts_ms":\d+\}$/;

const SOURCE = ',"source":{"version":"';
/** A text without anything that JSON escapes. */
const TEXT = String.raw`[^"\\]*`;
/** Everything behind the rows. */
const REST = new RegExp(
  [
    String.raw`,"source":\{"version":"${TEXT}","connector":"postgresql","name":"${TEXT}","ts_ms":(\d+)`,
    String.raw`"snapshot":"false","db":"${TEXT}","sequence":"\[(?:null|\\"(\d+)\\"),\\"\d+\\"\]","ts_us":\d+,"ts_ns":\d+`,
    String.raw`"schema":"(${TEXT})","table":"(${TEXT})","txId":(\d+),"lsn":(\d+),"xmin":null`,
    String.raw`"origin":(?:null|"(${TEXT})"),"origin_lsn":null\}`,
    String.raw`"transaction":(?:null|\{"id":"${TEXT}","total_order":\d+,"data_collection_order":\d+\})`,
    String.raw`"op":"([cud])","ts_ms":\d+,"ts_us":\d+,"ts_ns":\d+\}$`,
  ].join(','),
  'y',
);

export class OwnForm {
  /** How long the last record was behind its rows: the next one's is likely as long. */
  #rest = 0;

  mark(text: string): OwnMark | undefined {
    if (!text.startsWith('{"status":"')) return undefined;
    const match = MARK.exec(text);
    if (!match) return undefined;
    return {
      kind: match[1] === undefined ? 'end' : 'begin',
      xid: Number(match[2]),
      count: Number(match[3] ?? 0),
    };
  }

  row(text: string): OwnRow | undefined {
    if (!text.startsWith(BEFORE)) return undefined;
    const end = this.#endOfRows(text);
    if (end < 0) return undefined;
    REST.lastIndex = end;
    const match = REST.exec(text);
    if (!match) return undefined;
    const lastCommit = match[2];
    return {
      schema: match[3] ?? '',
      table: match[4] ?? '',
      operation: match[8] as OwnRow['operation'],
      head: {
        xid: Number(match[5]),
        lsn: BigInt(match[6] ?? ''),
        lastCommit: lastCommit === undefined ? undefined : BigInt(lastCommit),
        commitMs: Number(match[1]),
        origin: match[7],
        originKnown: true,
      },
      end,
    };
  }

  /** Nothing within a row looks like that: there a quote is escaped. */
  #endOfRows(text: string): number {
    const likely = text.length - this.#rest;
    if (likely > 0 && text.startsWith(SOURCE, likely)) return likely;
    const end = text.lastIndexOf(SOURCE);
    if (end > 0) this.#rest = text.length - end;
    return end;
  }
}
