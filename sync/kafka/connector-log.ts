// The change log's home in a connector's topics. Marks of a copy go into the stream where it stands;
// whatever says that the target is complete waits until the connector has confirmed that place of the
// WAL, and every partition has come to the end that was read after that.
import { BanyanError } from '../../core/errors.ts';
import type { Admin, Fetched, KafkaClient } from '../../core/kafka/client.ts';
import { sleep } from '../../core/lifecycle.ts';
import { formatLsn, type Lsn } from '../../core/postgres/lsn.ts';
import { encodeMessage, type FlowMessage } from '../../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../../control/domain/names.ts';
import { looping } from '../../control/connector.ts';
import type { ChangeLog } from '../change-log.ts';
import type { Change, Piece } from '../domain/change.ts';
import type { Decoded } from '../domain/debezium/decoder.ts';
import type { Checkpoint } from '../target.ts';
import { ConnectorLanes } from './connector-lanes.ts';
import { thinned, type Saying } from './connector-sayings.ts';
import { beginningOf, endsOf } from './connector-topics.ts';
import { ConnectorWatch, type WatchOptions } from './connector-watch.ts';
import { Account } from './consume-account.ts';
import { partitionOf, type Offsets } from './consume-offsets.ts';
import { countsOf } from './consume-start.ts';
import { added, RecordQueue } from './consume-queue.ts';

export interface ConnectorLogOptions {
  readonly kafka: KafkaClient;
  readonly groupId: string;
  readonly topics: readonly string[];
  readonly decode: (record: Fetched) => Decoded;
  readonly timeline: number;
  readonly watch: WatchOptions;
  /** Throws where what is read from a topic may not come by so many partitions. */
  readonly admit: (topic: string, partitions: number) => void;
}

const MB = 1_048_576;
const QUEUE_BYTES = 16 * MB;
/** Bytes of records of all partitions that one look turns into pieces. */
const READ_BYTES = 2 * MB;
const LOOK_MS = 150;

/** Throws KAFKA_UNREACHABLE, KAFKA_REFUSED, KAFKA_LOG_LOST. */
export async function openConnectorLog(
  options: ConnectorLogOptions,
  { position, barrier, offsets = new Map() }: Checkpoint,
): Promise<ConnectorLog> {
  const { kafka, groupId, topics, decode, timeline, admit } = options;
  const admin = await kafka.admin();
  let watch: ConnectorWatch | undefined;
  try {
    const { lanes, begins, missing } = await beginningOf(admin, topics, offsets, position);
    for (const [topic, partitions] of countsOf(lanes.keys())) admit(topic, partitions);
    watch = await ConnectorWatch.open(options.watch);
    const log = new ConnectorLog({
      ...{ admin, watch, timeline, missing, begins, barrier },
      present: topics.filter((topic) => !missing.includes(topic)),
      queue: new RecordQueue({
        ...{ kafka, groupId, dense: false, queueBytes: QUEUE_BYTES },
        from: new Map([...lanes].map(([name, { next }]) => [name, next])),
      }),
      lanes: new ConnectorLanes({
        ...{ offsets: lanes, from: { ...position, timeline }, decode },
        lacks: missing.length > 0,
      }),
    });
    await log.begin();
    return log;
  } catch (error) {
    await watch?.close();
    await admin.close();
    throw error;
  }
}

interface Parts {
  readonly admin: Admin;
  readonly watch: ConnectorWatch;
  readonly queue: RecordQueue;
  readonly lanes: ConnectorLanes;
  readonly timeline: number;
  readonly present: readonly string[];
  readonly missing: readonly string[];
  readonly begins: Offsets | undefined;
  readonly barrier: number;
}

export class ConnectorLog implements ChangeLog {
  readonly timeline: number;
  readonly begins?: Offsets;
  readonly #parts: Parts;
  readonly #account: Account;
  readonly #stop = new AbortController();
  /** Epoch of the last change of owner that is known. */
  #epoch: number;
  /** What waits for the connector to confirm its place. */
  #waiting: (Saying & { readonly lsn: Lsn })[] = [];
  #following: Promise<void> = Promise.resolve();
  #failure: unknown;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.timeline = parts.timeline;
    if (parts.begins) this.begins = parts.begins;
    this.#epoch = parts.barrier;
    this.#account = new Account((offsets) => parts.queue.commit(offsets));
  }

  async begin(): Promise<void> {
    await this.#parts.queue.open();
    this.#following = this.#follow().catch((error: unknown) => {
      this.#failure = error;
      this.#parts.queue.poke();
    });
  }

  async read(signal: AbortSignal): Promise<readonly Piece[]> {
    const { queue, lanes } = this.#parts;
    const wanted = (name: string): boolean => !lanes.waits(name);
    if (lanes.hole !== undefined) throw beganAnew(lanes.hole);
    while (await queue.wait(signal, wanted, () => this.#failure !== undefined || this.#speaks())) {
      if (this.#failure !== undefined) throw this.#failure as Error;
      const given = queue.partitions
        .filter(wanted)
        .map((name) => [name, queue.take(name, READ_BYTES / queue.partitions.length)] as const)
        .filter(([, records]) => records.length > 0);
      // After the records have come, and before any of them counts.
      const writesBack = given.length > 0 && (await this.#look());
      for (const [name, records] of given) lanes.give(name, records);
      const pieces = lanes.take();
      if (writesBack && lanes.originless) throw looping('FLOW_STOPPED');
      if (pieces.length > 0) return this.#account.hand(pieces);
    }
    return [];
  }

  /** Marks count at once. What says that all before it is there, once that is so. */
  async say(message: FlowMessage): Promise<void> {
    const { lanes, queue, watch } = this.#parts;
    const change = changeOf(encodeMessage(message));
    if (message.kind === 'low' || message.kind === 'high') lanes.say({ change });
    else {
      const lsn = await watch.place();
      this.#waiting = thinned([...this.#waiting, { change, lsn }]);
    }
    queue.poke();
  }

  /** Throws KAFKA_UNREACHABLE when a topic has come that was not there: the flow begins anew with it. */
  async assertTopics(): Promise<void> {
    const { admin, missing } = this.#parts;
    if (missing.length === 0) return;
    const come = [...(await admin.topics(missing)).keys()];
    if (come.length > 0)
      throw new BanyanError(
        'KAFKA_UNREACHABLE',
        `the connector has made topic ${come.join(', ')}: the flow begins anew with it`,
      );
  }

  acknowledge(endLsn: Lsn): void {
    this.#account.acknowledge(endLsn);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#parts.queue.close();
    await this.#following;
    await this.#parts.watch.close();
    await this.#parts.admin.close();
  }

  /** Whether something can be said. A connector's transactions end with markers, which are no records. */
  #speaks(): boolean {
    const { queue, lanes } = this.#parts;
    for (const name of queue.partitions) lanes.reach(name, queue.behind(name));
    return lanes.speaks;
  }

  /** Whether sync back writes into the source. Throws KAFKA_UNREACHABLE when another server is the source by now. */
  async #look(): Promise<boolean> {
    const { watch, lanes } = this.#parts;
    const { timeline, changes, writesBack } = await watch.look(this.#epoch);
    if (timeline !== this.timeline)
      throw new BanyanError(
        'KAFKA_UNREACHABLE',
        `the source is on timeline ${timeline} now, and was on ${this.timeline}: the flow looks whether it may go on`,
      );
    for (const { epoch, lsn, message } of changes) {
      if (epoch <= this.#epoch) continue;
      this.#epoch = epoch;
      const saying = { change: changeOf(message), lsn, exact: true };
      lanes.say(saying);
      this.#waiting.push(saying);
    }
    return writesBack;
  }

  /** Has those said that the connector has confirmed, with the ends of the partitions as they are after that. */
  async #follow(): Promise<void> {
    const { watch, admin, queue, lanes, present } = this.#parts;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#look();
      if (this.#waiting.length > 0) {
        const confirmed = await watch.confirmed();
        const due = this.#waiting.filter(({ lsn }) => lsn <= confirmed);
        if (due.length > 0) {
          // What was confirmed may be the first that a topic, or a partition, has.
          await this.assertTopics();
          const ends = await endsOf(admin, present);
          for (const name of ends.keys())
            if (!queue.partitions.includes(name)) throw added(partitionOf(name));
          this.#waiting = this.#waiting.filter((one) => !due.includes(one));
          // Of several that only tell how far it is, the last one says it.
          const last = due.findLast(({ exact }) => !exact);
          for (const one of due)
            if (one.exact) one.ends = ends;
            else if (one === last) lanes.say({ ...one, ends });
          queue.poke();
        }
      }
      await sleep(LOOK_MS, signal);
    }
  }
}

/** To the next life: by then all tables are to be copied. */
function beganAnew(hole: Lsn): BanyanError {
  return new BanyanError(
    'KAFKA_UNREACHABLE',
    `the connector has begun anew, and may have left out changes of before ${formatLsn(hole)}, deletes above all: the flow copies its tables again`,
    {
      hint: 'Were its offsets reset, or does its snapshot.mode have it read all tables again? Verify once the copy is complete.',
    },
  );
}

function changeOf(content: string): Change {
  return { kind: 'message', prefix: MESSAGE_PREFIX, content };
}
