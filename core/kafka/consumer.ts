// A member of a consumer group that begins where its owner says, at every assignment anew, and passes on
// each partition's records in order. What the group has committed starts nobody here; where records that
// should come are gone, it ends: kafkajs alone would go on after them, or before them, without a word.
import type { Consumer as Library, EachBatchPayload } from 'kafkajs';
import { messageOf, type BanyanError } from '../errors.ts';
import { sleep } from '../lifecycle.ts';
import type { Logger } from '../log.ts';
import { openAdmin } from './admin.ts';
import type {
  Admin,
  Assignment,
  Batch,
  Consumer,
  ConsumerOptions,
  TopicPartition,
} from './client.ts';
import type { KafkaConnection } from './connection.ts';
import { asBanyanError, connectKafkajs, RETRY } from './kafkajs.ts';
import { OWN_RACK } from './mended.ts';
import { beginningIn, holds, lost, nameOf } from './partition-range.ts';
import { received } from './received.ts';

const SESSION_MS = 10_000;
const REBALANCE_MS = 15_000;
const JOIN_MS = 10_000;
const HEARTBEAT_MS = 1_500;
/** How long a broker holds a question for records that are not there yet; and how long a paused member sleeps. */
const WAIT_MS = 200;
/** Partitions that are delivered side by side. */
const AT_ONCE = 32;
/** Answers to a heartbeat that have kafkajs join again. Others pass: it asks again, and lasts as long as the session. */
const MOVED = new Set([
  'REBALANCE_IN_PROGRESS',
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'NOT_COORDINATOR_FOR_GROUP',
]);

/** Joins the group. Throws KAFKA_UNREACHABLE, KAFKA_REFUSED. */
export async function openConsumer(
  connection: KafkaConnection,
  log: Logger,
  options: ConsumerOptions,
): Promise<Consumer> {
  const deadline = performance.now() + JOIN_MS;
  for (;;) {
    const member = new GroupMember(
      newMember(connection, log, options),
      await openAdmin(connection, log),
      options,
    );
    try {
      await member.start();
      return member;
    } catch (error) {
      await member.close();
      const failure = asBanyanError(error, `group ${options.groupId} is joined`);
      // A coordinator that has just started says that it loads its groups, and kafkajs takes that for the end.
      if (!failure.retryable || performance.now() > deadline) throw failure;
      await sleep(200);
    }
  }
}

function newMember(connection: KafkaConnection, log: Logger, options: ConsumerOptions): Library {
  return connectKafkajs(connection, log).consumer({
    groupId: options.groupId,
    sessionTimeout: SESSION_MS,
    rebalanceTimeout: REBALANCE_MS,
    heartbeatInterval: HEARTBEAT_MS,
    maxWaitTimeInMs: WAIT_MS,
    maxBytesPerPartition: options.maxPartitionBytes ?? 1_048_576,
    maxBytes: options.maxBytes ?? 8_388_608,
    allowAutoTopicCreation: false,
    rackId: OWN_RACK,
    // Whoever owns it decides what comes after a failure.
    retry: { ...RETRY, restartOnFailure: () => Promise.resolve(false) },
  });
}

/** Tells kafkajs that trying again is of no use. */
class Final extends Error {
  readonly retriable = false;
}

interface Current extends Assignment {
  readonly over: AbortController;
}

class GroupMember implements Consumer {
  readonly ended: Promise<void>;
  readonly #library: Library;
  readonly #admin: Admin;
  readonly #options: ConsumerOptions;
  readonly #end = Promise.withResolvers<undefined>();
  #current: Current | undefined;
  /** Offset that each partition's next batch must have been asked for at. */
  readonly #next = new Map<string, bigint>();
  #failure: BanyanError | undefined;
  #closed: Promise<void> | undefined;

  constructor(library: Library, admin: Admin, options: ConsumerOptions) {
    this.#library = library;
    this.#admin = admin;
    this.#options = options;
    this.ended = this.#end.promise;
    // Not everybody who opens one waits for its end.
    this.ended.catch(() => undefined);
  }

  async start(): Promise<void> {
    const { events } = this.#library;
    this.#library.on(events.GROUP_JOIN, ({ payload }) => {
      this.#onAssigned(payload.memberAssignment);
    });
    this.#library.on(events.REBALANCING, () => {
      this.#current?.over.abort();
    });
    this.#library.on(events.END_BATCH_PROCESS, ({ payload }) => {
      const { topic, partition, batchSize } = payload;
      const offset = BigInt(payload.lastOffset);
      // In the formats before batches: what was asked for is compacted away, and kafkajs asks for the next.
      if (batchSize === 0 && this.#next.get(keyOf(payload)) === offset)
        this.#pass({ topic, partition }, offset + 1n);
    });
    this.#library.on(events.CRASH, ({ payload }) => {
      this.#fail(payload.error);
    });
    await this.#library.connect();
    await this.#library.subscribe({ topics: [...this.#options.topics], fromBeginning: true });
    await this.#library.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: AT_ONCE,
      eachBatch: (payload) => this.#onBatch(payload),
    });
    if (this.#failure) throw this.#failure;
  }

  pause({ topic, partition }: TopicPartition): void {
    if (!this.#closed) this.#library.pause([{ topic, partitions: [partition] }]);
  }

  resume({ topic, partition }: TopicPartition): void {
    if (!this.#closed) this.#library.resume([{ topic, partitions: [partition] }]);
  }

  async commit(offsets: readonly (TopicPartition & { readonly offset: bigint })[]): Promise<void> {
    try {
      await this.#library.commitOffsets(
        offsets.map(({ topic, partition, offset }) => ({
          ...{ topic, partition },
          offset: String(offset),
        })),
      );
    } catch (error) {
      throw asBanyanError(error, 'offsets are committed');
    }
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      this.#current?.over.abort();
      await this.#library.disconnect().catch(() => undefined);
      await this.#admin.close();
      this.#end.resolve(undefined);
    })();
    return this.#closed;
  }

  #fail(error: unknown): void {
    this.#failure ??= asBanyanError(error, `group ${this.#options.groupId} is read`);
    this.#end.reject(this.#failure);
    void this.close();
  }

  /** Nothing of it is fetched before its owner has said where it begins. */
  #onAssigned(given: Readonly<Record<string, readonly number[]>>): void {
    this.#current?.over.abort();
    const over = new AbortController();
    const partitions = Object.entries(given).flatMap(([topic, all]) =>
      all.map((partition) => ({ topic, partition })),
    );
    const current: Current = { partitions, over, signal: over.signal };
    this.#current = current;
    if (this.#closed) over.abort();
    this.#next.clear();
    for (const one of partitions) this.pause(one);
    this.#begin(current).catch((error: unknown) => {
      if (!isOver(current)) this.#fail(error);
    });
  }

  async #begin(current: Current): Promise<void> {
    const starts = new Map(
      (await this.#options.assigned(current)).map((start) => [keyOf(start), start.offset]),
    );
    const topics = [...new Set(current.partitions.map(({ topic }) => topic))];
    const ranges = new Map(
      await Promise.all(
        topics.map(async (topic) => [topic, await this.#admin.ranges(topic)] as const),
      ),
    );
    if (isOver(current)) return;
    for (const one of current.partitions) {
      const range = ranges.get(one.topic)?.find(({ partition }) => partition === one.partition);
      const offset = beginningIn(range, one, starts.get(keyOf(one)) ?? 'earliest');
      this.#next.set(keyOf(one), offset);
      this.#library.seek({ ...one, offset: String(offset) });
      this.resume(one);
    }
  }

  async #onBatch(payload: EachBatchPayload): Promise<void> {
    const { batch } = payload;
    const current = this.#current;
    const at = { topic: batch.topic, partition: batch.partition };
    const expected = this.#next.get(keyOf(at));
    if (!current || isOver(current) || expected === undefined) return;
    if (BigInt((batch as typeof batch & { fetchedOffset: string }).fetchedOffset) !== expected) {
      await this.#astray(at, expected);
      return;
    }
    const nextOffset = BigInt(batch.lastOffset()) + 1n;
    const endOffset = BigInt(batch.highWatermark);
    try {
      const records = await received(at, batch.messages, expected);
      if (records.length > 0)
        await this.#deliver({ ...at, records, nextOffset, endOffset }, current, payload);
      // Given up, compacted away, or markers: the next question goes past it.
      else if (!isOver(current)) this.#pass(at, nextOffset);
    } catch (error) {
      if (isOver(current)) throw error;
      this.#failure ??= asBanyanError(error, `${nameOf(at)} is delivered`);
      throw new Final(messageOf(error));
    }
    if (isOver(current)) return;
    this.#next.set(keyOf(at), nextOffset);
    payload.resolveOffset(batch.lastOffset());
  }

  #pass(at: TopicPartition, nextOffset: bigint): void {
    this.#next.set(keyOf(at), nextOffset);
    this.#options.passed?.(at, nextOffset);
  }

  /** Resolves when the batch has been taken, or is somebody else's by now. */
  async #deliver(batch: Batch, current: Current, payload: EachBatchPayload): Promise<void> {
    if (isOver(current)) return;
    const { signal, over } = current;
    const ended = Promise.withResolvers<undefined>();
    const onOver = (): void => {
      ended.resolve(undefined);
    };
    const beat = setInterval(() => {
      payload.heartbeat().catch((error: unknown) => {
        if (!(error instanceof Error && MOVED.has((error as { type?: string }).type ?? ''))) return;
        // Another member has this partition by now, or will: kafkajs joins again.
        ended.reject(error);
        over.abort();
      });
    }, HEARTBEAT_MS);
    signal.addEventListener('abort', onOver);
    const delivered = this.#options.deliver(batch, current);
    try {
      await Promise.race([delivered, ended.promise]);
    } finally {
      clearInterval(beat);
      signal.removeEventListener('abort', onOver);
      delivered.catch(() => undefined);
      ended.promise.catch(() => undefined);
    }
  }

  /** The library asked elsewhere: an answer of before a seek, or it has left a place that is gone. */
  async #astray(at: TopicPartition, expected: bigint): Promise<void> {
    const ranges = await this.#admin.ranges(at.topic);
    const range = ranges.find(({ partition }) => partition === at.partition);
    if (holds(range, expected)) this.#library.seek({ ...at, offset: String(expected) });
    else {
      this.#failure ??= lost(at, expected, range);
      throw new Final(this.#failure.message);
    }
  }
}

function isOver({ signal }: Assignment): boolean {
  return signal.aborted;
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}:${partition}`;
}
