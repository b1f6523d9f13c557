// What a team may say of the change log: the replication slot itself (`direct`), or Kafka, which a relay
// fills and flows read. The shape of `changeLog` in a definition. Secrets are named here, never written.
import { z } from 'zod';
import { outboxes } from './outbox-settings.ts';
import { secret, text } from './schema-words.ts';

const brokerAddress = text.regex(
  /^[^\s:/,]+:\d{1,5}$/,
  'is not host:port (kafka-1.example.com:9092)',
);
const brokers = z.union([
  z.array(brokerAddress).min(1, 'name at least one broker as host:port'),
  /** The variable holds them as one text, divided by commas. */
  z.strictObject({ env: text, default: text.optional() }),
]);

const tls = z.strictObject({
  /** PEM file of the authorities that the brokers' certificates come from; the system's own where left out. */
  ca: text.optional(),
  /** PEM files with which this client shows who it is. */
  cert: text.optional(),
  key: text.optional(),
  passphrase: secret.optional(),
  /** Name that the brokers' certificates bear, where it is not the one they are reached by. */
  servername: text.optional(),
  /** `false` believes any certificate: for a first try, never for production. */
  rejectUnauthorized: z.boolean().default(true),
});

const password = z.strictObject({
  mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']),
  username: z.union([text, z.strictObject({ env: text, default: text.optional() })]),
  password: secret,
});

const bearer = z
  .strictObject({
    mechanism: z.literal('oauthbearer'),
    /** The token itself; a file is read anew at every login, so whoever renews it only writes the file. */
    token: secret.optional(),
    /** Where a token is had by the client-credentials grant (RFC 6749 §4.4). */
    tokenEndpoint: z
      .strictObject({
        url: z
          .url({ protocol: /^https?$/, error: 'is not a URL of the form https://…' })
          .refine(
            isSafeFromReaders,
            'would send the client secret readable: it wants https, except on this machine',
          ),
        clientId: text,
        clientSecret: secret,
        scope: text.optional(),
      })
      .optional(),
  })
  .refine(
    (given) => (given.token === undefined) !== (given.tokenEndpoint === undefined),
    'name either token or tokenEndpoint',
  );

/** Whoever reads the line has the login. A first try against a broker on this machine needs no certificates. */
const READABLE: Readonly<Record<string, string>> = {
  plain: "'plain' sends the password readable: it wants tls, or a scram mechanism",
  oauthbearer: "'oauthbearer' sends the token readable: it wants tls",
};

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/i;

const topics = z
  .strictObject({
    /** Of the topics of `layout: 'table'`. `changes` has one: that is what keeps transactions whole. */
    partitions: z.number().int().min(1).max(1_000).default(1),
    /** Copies of each partition; what the brokers have as their default where left out. */
    replication: z.number().int().min(1).max(16).optional(),
    /** How long changes are kept: longer than any flow may be away. -1 keeps them for ever. */
    retentionMs: z
      .number()
      .int()
      .refine((given) => given === -1 || given >= 60_000, 'is at least 60000 (a minute), or -1')
      .default(604_800_000),
    /** The largest record that a topic takes: one changed row, or one key and its row. */
    maxMessageBytes: z.number().int().min(65_536).max(1_073_741_824).default(16_777_216),
  })
  .prefault({});

/** How values stand in the topics of layout `table`: the connector's own modes, by its own names. */
const records = z.strictObject({
  /** Each record brings its schema along (`schemas.enable`). */
  schemas: z.boolean().default(false),
  /** `decimal.handling.mode`. */
  decimals: z.enum(['precise', 'string', 'double']).default('precise'),
  /** `time.precision.mode`. */
  temporals: z
    .enum([
      ...(['adaptive', 'adaptive_time_microseconds', 'microseconds', 'nanoseconds'] as const),
      ...(['isostring', 'connect'] as const),
    ])
    .default('adaptive'),
  /** `interval.handling.mode`. */
  intervals: z.enum(['numeric', 'string']).default('numeric'),
});

const kafka = z
  .strictObject({
    brokers,
    /** How this client is called in the brokers' logs and quotas. */
    clientId: text.default('banyan'),
    /** First part of every topic's name; Debezium calls it `topic.prefix`. */
    prefix: z
      .string()
      .regex(
        /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/,
        'use letters, digits, ., - and _ (at most 100)',
      ),
    /** `changes`: one ordered topic a database, transactions whole. `table`: Debezium's topics, one a table. */
    layout: z.enum(['changes', 'table']).default('changes'),
    compression: z
      .enum(
        ['none', 'gzip', 'zstd'],
        "must be 'none', 'gzip' or 'zstd': the client has no snappy and no lz4",
      )
      .default('none'),
    records: records.optional(),
    tls: z.union([z.boolean(), tls]).default(false),
    sasl: z
      .discriminatedUnion('mechanism', [password, bearer], {
        error: "must be 'plain', 'scram-sha-256', 'scram-sha-512' or 'oauthbearer'",
      })
      .optional(),
    topics,
    /** Outbox tables of each source, whose rows become events. */
    outbox: outboxes,
  })
  .superRefine((given, context) => {
    if (given.records && given.layout === 'changes')
      context.addIssue({
        code: 'custom',
        path: ['records'],
        message:
          "layout 'changes' has one form, in which nothing is lost: this is for layout 'table'",
      });
    if (given.topics.partitions > 1 && given.layout === 'changes')
      context.addIssue({
        code: 'custom',
        path: ['topics', 'partitions'],
        message: "the topic of layout 'changes' has one partition: order and transactions need it",
      });
    if (
      typeof given.tls === 'object' &&
      (given.tls.cert === undefined) !== (given.tls.key === undefined)
    )
      context.addIssue({
        code: 'custom',
        path: ['tls'],
        message: 'name both cert and key, or neither',
      });
    const readable = READABLE[given.sasl?.mechanism ?? ''];
    if (readable !== undefined && given.tls === false && !isLoopback(given.brokers))
      context.addIssue({ code: 'custom', path: ['sasl', 'mechanism'], message: readable });
  });

/** Under `changeLog` in a definition. */
export const changeLog = z
  .union([z.literal('direct', "must be 'direct' or { kafka: { … } }"), z.strictObject({ kafka })])
  .default('direct');

/** What encoders and decoders of a source's topics are told. */
export function recordForm({ records }: Pick<KafkaSettings, 'records'>): {
  readonly schemas: boolean;
  readonly modes: Partial<Omit<NonNullable<KafkaSettings['records']>, 'schemas'>>;
} {
  if (!records) return { schemas: false, modes: {} };
  const { schemas, ...modes } = records;
  return { schemas, modes };
}

export type KafkaSettings = z.output<typeof kafka>;

function isLoopback(given: z.output<typeof brokers>): boolean {
  return (
    Array.isArray(given) && given.every((one) => LOOPBACK.test(one.slice(0, one.lastIndexOf(':'))))
  );
}

function isSafeFromReaders(url: string): boolean {
  const parsed = URL.parse(url);
  return parsed?.protocol !== 'http:' || LOOPBACK.test(parsed.hostname);
}
