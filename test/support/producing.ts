// A producer that is no more than what becomes of its records; and packs as records again.
import type { KafkaRecord, Producer } from '../../core/kafka/client.ts';
import { PackedRecords, type RecordPack } from '../../core/kafka/record-pack.ts';

export function producing(send: (records: readonly KafkaRecord[]) => Promise<void>): Producer {
  return {
    send,
    sendPacked: (packs) => send(packs.flatMap(topicsOf)),
    close: () => Promise.resolve(),
  };
}

function topicsOf(pack: RecordPack): KafkaRecord[] {
  const all = new PackedRecords();
  for (let index = 0; index < pack.count; index++) all.add(pack, index);
  return recordsOf(all).map((record, index) => ({ topic: pack.topicOf(index), ...record }));
}

/** As a broker reads them. */
export function recordsOf(packed: PackedRecords): Omit<KafkaRecord, 'topic'>[] {
  const bytes = Buffer.alloc(packed.bytes);
  packed.write(bytes, 0);
  const reader = new Reader(bytes);
  return Array.from({ length: packed.length }, () => reader.record());
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  record(): Omit<KafkaRecord, 'topic'> {
    // Its length, its attributes, its time and where it stands.
    this.#number();
    this.#at += 2;
    this.#number();
    const [key, value] = [this.#text(), this.#text()];
    const headers: Record<string, string> = {};
    for (let left = this.#number(); left > 0; left--)
      headers[this.#text() ?? ''] = this.#text() ?? '';
    return { key, value, headers };
  }

  #number(): number {
    let zigzag = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#at++);
      zigzag |= (byte & 127) << shift;
      if (byte < 128) return (zigzag >>> 1) ^ -(zigzag & 1);
    }
  }

  #text(): string | null {
    const length = this.#number();
    if (length < 0) return null;
    return this.#bytes.toString('utf8', this.#at, (this.#at += length));
  }
}
