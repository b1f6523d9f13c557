// A record as it is written.

export interface KafkaRecord {
  readonly topic: string;
  readonly key: string | null;
  /** Null is a tombstone. */
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string>>;
  /** By the key's hash, as Java's clients do it, where left out; 0 without a key. */
  readonly partition?: number;
}
