// About what brokers count of a record, on its way to a topic that takes only so much.
import type { KafkaRecord } from '../../core/kafka/client.ts';

/** What they count besides, and of each header besides. */
const OVERHEAD_BYTES = 100;
const HEADER_BYTES = 10;

export function bytesOf({ key, value, headers }: KafkaRecord): number {
  let bytes = OVERHEAD_BYTES + Buffer.byteLength(value ?? '') + Buffer.byteLength(key ?? '');
  for (const [name, text] of Object.entries(headers))
    bytes += HEADER_BYTES + Buffer.byteLength(name) + Buffer.byteLength(text);
  return bytes;
}
