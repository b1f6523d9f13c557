// A record as it goes to Kafka, and what is known of where it belongs.

export interface OutRecord {
  /** Empty in layout `table` for a message of our own: it goes to every partition of a flow's topics. */
  readonly topic: string;
  readonly key: string | null;
  /** null is a tombstone. */
  readonly value: string | null;
  readonly headers: Readonly<Record<string, string>>;
  /** Set where its key does not decide. */
  readonly partition?: number;
  /** It goes to every partition of its topic. */
  readonly everywhere?: true | undefined;
}
