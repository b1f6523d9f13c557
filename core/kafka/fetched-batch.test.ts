// What a fetch has brought, read by us and by kafkajs itself: the same records, whatever stands in the
// batches, in every version of the answer; and nothing else where the reader is not ours.
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { KafkaMessage } from 'kafkajs';
import type { Fetched } from './client.ts';
import { crc32c } from './crc32c.ts';
import type { FetchedBatch } from './fetched-batch.ts';
import { mend, OWN_RACK } from './mended.ts';
import { received } from './received.ts';
import { writeVarInt } from './var-int.ts';

interface Encoder {
  readonly buffer: Buffer;
  writeInt16(value: number): Encoder;
  writeInt32(value: number): Encoder;
  writeInt64(value: bigint | number): Encoder;
  writeString(value: string): Encoder;
  writeBytes(value: Buffer): Encoder;
}

interface Partition {
  readonly messages: unknown;
  readonly abortedTransactions: unknown;
}

interface Answer {
  readonly responses: readonly { readonly partitions: readonly Partition[] }[];
}

type Decode = (bytes: Buffer) => Promise<Answer>;

/** The library's own batch, as its consumers are given it. */
interface Batch {
  readonly messages: readonly (KafkaMessage | FetchedBatch)[];
  lastOffset(): string;
}

const require = createRequire(import.meta.url);
mend();
const SOURCE = 'kafkajs/src';
const Encoding = require(`${SOURCE}/protocol/encoder`) as new () => Encoder;
const LibraryBatch = require(`${SOURCE}/consumer/batch`) as new (
  topic: string,
  from: string,
  partition: unknown,
) => Batch;
const writeRecord = require(`${SOURCE}/protocol/recordBatch/record/v0`) as (of: unknown) => Encoder;
const { RecordBatch: writeBatch } = require(`${SOURCE}/protocol/recordBatch/v0`) as {
  RecordBatch: (of: unknown) => Promise<Encoder>;
};
const { requests } = require(`${SOURCE}/protocol/requests`) as {
  requests: {
    Fetch: {
      protocol: (of: {
        version: number;
      }) => (given: unknown) => { readonly response: { readonly decode: Decode } };
    };
  };
};
const VERSIONS = [4, 5, 6, 7, 8, 9, 10, 11];
const GIVEN = { maxWaitTime: 1, minBytes: 1, maxBytes: 1, topics: [] };

const theirs = (version: number): Decode =>
  (require(`${SOURCE}/protocol/requests/fetch/v${version}/response`) as { decode: Decode }).decode;
const asked = (version: number, rackId: string): Decode =>
  requests.Fetch.protocol({ version })({ ...GIVEN, rackId }).response.decode;
const ours = (version: number): Decode => asked(version, OWN_RACK);

const AT = { topic: 't', partition: 3 };
const HIGH = 1_000_000_000_000n;

interface Aborted {
  readonly producerId: number;
  readonly firstOffset: bigint;
}

function answer(version: number, bytes: Buffer, aborted: readonly Aborted[] = []): Buffer {
  const answer = new Encoding().writeInt32(7);
  if (version >= 7) answer.writeInt16(0).writeInt32(0);
  answer.writeInt32(1).writeString('t').writeInt32(1).writeInt32(3).writeInt16(0);
  answer.writeInt64(HIGH).writeInt64(HIGH);
  if (version >= 5) answer.writeInt64(0);
  answer.writeInt32(aborted.length);
  for (const one of aborted) answer.writeInt64(one.producerId).writeInt64(one.firstOffset);
  if (version >= 11) answer.writeInt32(-1);
  return answer.writeBytes(bytes).buffer;
}

function batchOf({ responses }: Answer, from: bigint): Batch {
  return new LibraryBatch('t', String(from), responses[0]?.partitions[0]);
}

async function read(decode: Decode, bytes: Buffer, from: bigint): Promise<unknown> {
  const batch = batchOf(await decode(bytes), from);
  return {
    records: (await received(AT, batch.messages, from)).map(plain),
    last: batch.lastOffset(),
  };
}

function plain({ topic, partition, offset, key, value, headers, timestampMs }: Fetched) {
  return { topic, partition, offset, key, value, headers, timestampMs };
}

interface GivenRecord {
  readonly offsetDelta: number;
  readonly timestampDelta: number;
  readonly key: Buffer | string | null;
  readonly value: Buffer | string | null;
  readonly headers: Readonly<Record<string, string | string[]>>;
}

interface GivenBatch {
  readonly firstOffset: bigint;
  readonly records: readonly GivenRecord[];
  readonly compression?: number;
  readonly producerId?: number;
  /** Bits besides that of compression. */
  readonly flags?: number;
  readonly lastOffsetDelta?: number;
  readonly firstTimestamp?: number;
  readonly maxTimestamp?: number;
}

const [APPENDED, TRANSACTIONAL, CONTROL] = [8, 16, 32];
const ATTRIBUTES_AT = 21;

async function written({ records, flags = 0, ...batch }: GivenBatch): Promise<Buffer> {
  const { buffer } = await writeBatch({
    ...{ producerId: -1, lastOffsetDelta: records.at(-1)?.offsetDelta ?? 0 },
    ...batch,
    records: records.map((record) => writeRecord(record)),
  });
  const bytes = Buffer.from(buffer);
  bytes.writeInt16BE(bytes.readInt16BE(ATTRIBUTES_AT) | flags, ATTRIBUTES_AT);
  bytes.writeUInt32BE(crc32c(bytes.subarray(ATTRIBUTES_AT)), ATTRIBUTES_AT - 4);
  return bytes;
}

const numbered = (first: number, count: number, more: Partial<GivenBatch> = {}): GivenBatch => ({
  firstOffset: BigInt(first),
  records: Array.from({ length: count }, (_, offsetDelta) => ({
    ...{ offsetDelta, timestampDelta: 0, key: null, value: String(first + offsetDelta) },
    headers: {},
  })),
  ...more,
});

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
);
// The library takes four bytes of zero for the end of a transaction, wherever they stand.
const key = text.filter((one) => !Buffer.from(one).equals(Buffer.alloc(4)));
const headerText = fc.string({ unit: 'grapheme' });
const record = fc.record({
  gap: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.nat({ max: 100_000 })),
  timestampDelta: fc.oneof(
    fc.constant(0),
    fc.integer(),
    fc.integer({ min: -(2 ** 40), max: 2 ** 45 }),
  ),
  key: fc.option(key),
  value: fc.option(text),
  headers: fc.dictionary(
    fc.string({ unit: 'grapheme' }),
    fc.oneof(headerText, fc.array(headerText, { minLength: 1, maxLength: 3 })),
    { maxKeys: 4 },
  ),
});
/** A batch of nobody's transaction, or of one of two producers'; or the end of a producer's. */
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      records: fc.array(record, { minLength: 1, maxLength: 12 }),
      producer: fc.constantFrom(0, 0, 1, 2),
      compression: fc.constantFrom(0, 0, 1, 4),
      appended: fc.boolean(),
      firstTimestamp: fc.nat({ max: 2 ** 43 }),
      maxTimestamp: fc.nat({ max: 2 ** 43 }),
      gap: fc.nat({ max: 3 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ ends: fc.constantFrom(1, 2), abort: fc.boolean() }) },
);

/** The steps behind each other in a partition, and which transactions were given up. */
async function partitionOf(
  steps: readonly (typeof step extends fc.Arbitrary<infer Step> ? Step : never)[],
  begin: bigint,
): Promise<{ readonly bytes: Buffer; readonly aborted: Aborted[]; readonly end: bigint }> {
  const open = new Map<number, bigint>();
  const aborted: Aborted[] = [];
  const all: Buffer[] = [];
  let next = begin;
  for (const one of steps) {
    if ('ends' in one) {
      const firstOffset = open.get(one.ends);
      if (firstOffset === undefined) continue;
      open.delete(one.ends);
      if (one.abort) aborted.push({ producerId: one.ends, firstOffset });
      all.push(await written(marker(next, one.ends, one.abort)));
      next += 1n;
      continue;
    }
    const { records, producer, appended, gap, ...rest } = one;
    const firstOffset = next + BigInt(gap);
    let delta = -1;
    const placed = records.map(({ gap: before, ...more }) => ({
      ...more,
      offsetDelta: (delta += before + 1),
    }));
    if (producer > 0 && !open.has(producer)) open.set(producer, firstOffset);
    const flags = (appended ? APPENDED : 0) | (producer > 0 ? TRANSACTIONAL : 0);
    const producerId = producer > 0 ? producer : -1;
    all.push(await written({ ...rest, firstOffset, records: placed, flags, producerId }));
    next = firstOffset + BigInt(delta + 1);
  }
  // The library reads them in this order only, whichever one the brokers have.
  aborted.sort((a, b) => Number(a.firstOffset - b.firstOffset));
  return { bytes: Buffer.concat(all), aborted, end: next };
}

function marker(firstOffset: bigint, producerId: number, abort: boolean): GivenBatch {
  return {
    ...{ firstOffset, producerId, flags: TRANSACTIONAL | CONTROL },
    records: [
      {
        ...{ offsetDelta: 0, timestampDelta: 0, headers: {} },
        key: Buffer.from([0, 0, 0, abort ? 0 : 1]),
        value: Buffer.alloc(6),
      },
    ],
  };
}

test('every answer holds the records that kafkajs reads in it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 16, size: 'max' }),
      fc.bigInt({ min: 0n, max: 2n ** 50n }),
      fc.constantFrom(...VERSIONS),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.boolean(),
      async (steps, begin, version, part, isCut) => {
        const { bytes, aborted, end } = await partitionOf(steps, begin);
        if (bytes.length === 0) return;
        // The last batch may have come in part only, and reading may begin within the first one.
        const cut = isCut ? Math.max(61, Math.ceil(bytes.length * part)) : bytes.length;
        const given = answer(version, bytes.subarray(0, cut), aborted);
        const from =
          aborted.length > 0 ? begin : begin + BigInt(Math.floor(Number(end - begin) * part));
        expect(await read(ours(version), given, from)).toEqual(
          await read(theirs(version), given, from),
        );
      },
    ),
    { numRuns: 60 },
  );
});

test.each(VERSIONS)('of an answer in version %i nothing else is changed', async (version) => {
  const given = answer(version, await written(numbered(5, 3)), [
    { producerId: 1, firstOffset: 9n },
  ]);
  const without = ({ responses, ...rest }: Answer): unknown => ({
    ...rest,
    responses: responses.map(({ partitions, ...topic }) => ({
      ...topic,
      partitions: partitions.map((one) => ({ ...one, messages: [], abortedTransactions: [] })),
    })),
  });
  const own = await ours(version)(given);
  expect(without(own)).toEqual(without(await theirs(version)(given)));
  expect(own.responses[0]?.partitions[0]?.messages).toHaveLength(1);
  // Whoever else uses the library here is given what it gives.
  expect(await asked(version, '')(given)).toEqual(await theirs(version)(given));
});

test('messages of the formats before batches are read as the library reads them', async () => {
  const messageOf = require(`${SOURCE}/protocol/message`) as (of: {
    version: number;
  }) => (of: unknown) => Encoder & { size: () => number };
  const set = (version: number, messages: readonly unknown[], first: number): Buffer =>
    Buffer.concat(
      messages.map((one, index) => {
        const message = messageOf({ version })(one);
        return new Encoding().writeInt64(first + index).writeBytes(message.buffer).buffer;
      }),
    );
  for (const version of [0, 1]) {
    const messages = ['a', 'b', null].map((value) => ({ key: 'k', value, timestamp: 5 }));
    const plainSet = set(version, messages, 10);
    const inner = set(version, messages, version === 0 ? 13 : 0);
    const packed = set(
      version,
      [{ compression: 1, key: null, value: gzipSync(inner), timestamp: 5 }],
      15,
    );
    const given = answer(4, Buffer.concat([plainSet, packed]));
    const found = await read(ours(4), given, 11n);
    expect(found).toEqual(await read(theirs(4), given, 11n));
    expect(found).toMatchObject({
      last: '15',
      records: [11, 12, 13, 14, 15].map((offset) => ({ offset: BigInt(offset) })),
    });
  }
});

test('of several transactions that were given up before the place where reading begins, nothing is read', async () => {
  const of = (producerId: number): Partial<GivenBatch> => ({ producerId, flags: TRANSACTIONAL });
  const bytes = Buffer.concat([
    await written(numbered(10, 2, of(1))),
    await written(numbered(12, 2, of(2))),
    await written(marker(14n, 1, true)),
    await written(numbered(15, 2, of(1))),
    await written(marker(17n, 2, true)),
    await written(numbered(18, 1)),
  ]);
  const aborted = [
    { producerId: 2, firstOffset: 7n },
    { producerId: 1, firstOffset: 5n },
  ];
  const found = await read(ours(11), answer(11, bytes, aborted), 11n);
  expect(found).toMatchObject({ records: [{ value: '15' }, { value: '16' }, { value: '18' }] });
});

test('a batch that compaction has emptied is passed by', async () => {
  const empty = await written({ firstOffset: 20n, records: [], lastOffsetDelta: 4 });
  const found = await read(ours(11), answer(11, empty), 22n);
  expect(found).toEqual({ records: [], last: '24' });
  // Without records it goes on behind the batch, not behind the last record that is left of it.
  const short = await written({ ...numbered(30, 2), lastOffsetDelta: 9 });
  expect(await read(ours(11), answer(11, short), 30n)).toMatchObject({ last: '39' });
});

test('a batch that has been damaged is not read', async () => {
  const whole = await written(numbered(0, 20));
  for (const [at, bit] of [
    [ATTRIBUTES_AT, 128],
    // So it looks as a marker does, of which nobody reads a record.
    [ATTRIBUTES_AT + 1, CONTROL],
    [whole.length - 1, 128],
  ] as const) {
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(at) ^ bit, at);
    await expect(read(ours(11), answer(11, damaged), 0n)).rejects.toMatchObject({
      code: 'KAFKA_UNREACHABLE',
      message: expect.stringContaining('partition 3 of topic t is damaged') as unknown,
    });
  }
});

test('what nobody reads is handed over, so that it is seen where it was asked for', async () => {
  const of = { producerId: 1, flags: TRANSACTIONAL };
  const bytes = Buffer.concat([
    await written(numbered(10, 2, of)),
    await written(marker(12n, 1, true)),
  ]);
  const given = answer(11, bytes, [{ producerId: 1, firstOffset: 10n }]);
  const batch = batchOf(await ours(11)(given), 10n);
  expect(batch.messages).toHaveLength(2);
  expect(await received(AT, batch.messages, 10n)).toEqual([]);
});

test('what is compressed in a way that is not read here is refused by its name', async () => {
  const plainBytes = await written(numbered(0, 2));
  const snappy = Buffer.from(plainBytes);
  snappy.writeInt16BE(2, ATTRIBUTES_AT);
  snappy.writeUInt32BE(crc32c(snappy.subarray(ATTRIBUTES_AT)), ATTRIBUTES_AT - 4);
  await expect(read(ours(11), answer(11, snappy), 0n)).rejects.toMatchObject({
    code: 'KAFKA_REFUSED',
    message: expect.stringContaining('snappy') as unknown,
  });
});

test('a header without a value says nothing', async () => {
  const body: number[] = [0, 0, 0, 1, 1, 4, 2, 0x61, 1, 2, 0x62, 2, 0x63];
  const bytes = Buffer.alloc(40);
  const at = writeVarInt(bytes, body.length, 0);
  const batch = Buffer.concat([
    (await written(numbered(0, 1))).subarray(0, 61),
    bytes.subarray(0, at),
    Buffer.from(body),
  ]);
  batch.writeInt32BE(batch.length - 12, 8);
  batch.writeUInt32BE(crc32c(batch.subarray(ATTRIBUTES_AT)), ATTRIBUTES_AT - 4);
  expect(await read(ours(11), answer(11, batch), 0n)).toMatchObject({
    records: [{ key: null, value: null, headers: { b: 'c' } }],
  });
});
