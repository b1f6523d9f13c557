// The bytes of a batch, against those that kafkajs itself writes, and the checksum against published ones.
import { createRequire } from 'node:module';
import { gunzipSync, gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { crc32c } from './crc32c.ts';
import type { KafkaRecord } from './client.ts';
import { batchBytes, compressedBatch, writeBatch, type BatchHead } from './record-batch.ts';
import { PackedRecords, RecordPack } from './record-pack.ts';

const theirRequest = createRequire(import.meta.url)(
  'kafkajs/src/protocol/requests/produce/v7/request.js',
) as (given: unknown) => { encode: () => Promise<{ buffer: Buffer }> };

/** No transaction (2), acks (2), timeout (4), one topic "t" (4 + 3), one partition (4 + 4), its bytes (4). */
const BEFORE_BATCH = 27;
const TIMESTAMP_AT = 27;

type Given = Omit<KafkaRecord, 'topic'>;

async function theirs(messages: readonly Given[], head: BatchHead): Promise<Buffer> {
  const { producerId, producerEpoch, firstSequence } = head;
  const partitions = [{ partition: 0, firstSequence, messages }];
  const given = { acks: -1, timeout: 1, producerId: String(producerId), producerEpoch };
  const { buffer } = await theirRequest({
    ...given,
    topicData: [{ topic: 't', partitions }],
  }).encode();
  return buffer.subarray(BEFORE_BATCH);
}

/** In several packs, as what waits is. */
function packed(records: readonly Given[], perPack = 50): PackedRecords {
  const all = new PackedRecords();
  let pack = new RecordPack();
  for (const record of records) {
    if (pack.count === perPack) pack = new RecordPack();
    pack.append({ topic: 't', ...record });
    all.add(pack, pack.count - 1);
  }
  return all;
}

function plain(records: PackedRecords, timestamp: number): Buffer {
  const batch = Buffer.alloc(3 + batchBytes(records));
  expect(writeBatch(batch, 3, records, { ...head, timestamp })).toBe(batch.length);
  return batch.subarray(3);
}

async function equalBytes(records: readonly Given[]): Promise<void> {
  const expected = await theirs(records, { ...head, timestamp: 0 });
  const timestamp = Number(expected.readBigInt64BE(TIMESTAMP_AT));
  expect(plain(packed(records), timestamp).equals(expected)).toBe(true);
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary', maxLength: 300 }),
);
const record = fc.record({
  key: fc.option(text),
  value: fc.option(text),
  headers: fc.dictionary(fc.string(), text, { maxKeys: 4 }),
});
const head = {
  producerId: 4_000_000_000n,
  producerEpoch: 7,
  firstSequence: 2_147_483_000,
};

test('every batch has the bytes that kafkajs writes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 150 }), equalBytes),
    { numRuns: 60 },
  );
});

test('so have batches of lengths at which a number takes another byte', async () => {
  for (const length of [0, 55, 63, 64, 8_100, 8_191, 8_192, 1_048_576])
    await equalBytes([{ key: null, value: 'x'.repeat(length), headers: { at: '1' } }]);
});

test('a compressed batch holds the same records, and says how they are compressed', async () => {
  const records = packed(
    Array.from({ length: 3 }, (_, at) => ({ key: `${at}`, value: 'ü'.repeat(99), headers: {} })),
  );
  const small = await compressedBatch(
    records,
    { ...head, timestamp: 1 },
    { type: 1, compress: (bytes) => Promise.resolve(gzipSync(bytes)) },
  );
  expect(gunzipSync(small.subarray(61)).equals(plain(records, 1).subarray(61))).toBe(true);
  expect(small.readInt16BE(21)).toBe(1);
  expect(small.readInt32BE(8)).toBe(small.length - 12);
  expect(small.readUInt32BE(17)).toBe(crc32c(small.subarray(21)));
});

test('the checksum is that of RFC 3720 at every length', () => {
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
  expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
  expect(crc32c(Buffer.from(Array.from({ length: 32 }, (_, at) => at)))).toBe(0x46dd794e);
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  expect(crc32c(Buffer.alloc(0))).toBe(0);
  // Wherever in memory it begins.
  for (let from = 0; from < 9; from++)
    expect(crc32c(Buffer.from(`${'-'.repeat(from)}123456789`).subarray(from))).toBe(0xe3069283);
});
