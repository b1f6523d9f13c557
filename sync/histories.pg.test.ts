// The histories of domain/histories.test.ts on real databases: one key a history, all operations of
// either side up to three, and between them every pattern of what is delivered when. The clock that
// decides for the last writer is the servers' own.
import { afterEach, expect, test } from '@jest/globals';
import { scalar } from '../control/participant.ts';
import { encodeMessage } from '../control/domain/flow.ts';
import { MESSAGE_PREFIX } from '../control/domain/names.ts';
import type { Conflict } from '../control/domain/conflicts.ts';
import { createPair, type Pair, type PairOptions } from '../test/support/pair.ts';
import { openFlow, type FlowParts } from '../test/support/flow.ts';
import { applications, conflicts, settled, share } from '../test/support/sharing.ts';
import { advanceTo, equal, startSync } from '../test/support/sync.ts';

const OPERATIONS = [
  'owner insert',
  'owner update',
  'owner delete',
  'service insert',
  'service update',
  'service delete',
] as const;
type Operation = (typeof OPERATIONS)[number];

const LENGTH = 3;
/** What is delivered behind an operation. */
const DELIVERIES: readonly (readonly ('to' | 'back')[])[] = [
  [],
  ['to'],
  ['back'],
  ...(process.env['HISTORIES'] === undefined ? [] : [['back', 'to'] as const]),
];

const SCHEMAS: PairOptions['schemas'] = {
  monolith: `CREATE TABLE item (id integer PRIMARY KEY, nm text NOT NULL, qty integer NOT NULL DEFAULT 7);
    ALTER TABLE item REPLICA IDENTITY FULL`,
  service: `CREATE TABLE thing (id integer PRIMARY KEY, name text NOT NULL, own integer NOT NULL DEFAULT 3);
    ALTER TABLE thing REPLICA IDENTITY FULL`,
};

let pair: Pair | undefined;

afterEach(async () => {
  await pair?.close();
  pair = undefined;
});

/** Of the greater text, and rather a row than none. */
const greater = ({ owner, incoming }: Conflict): 'owner' | 'service' =>
  (incoming?.['nm'] ?? '') > (owner?.['nm'] ?? '') ? 'service' : 'owner';

test.each([
  ['owner-wins', 'owner-wins' as const],
  ['last-writer-wins', 'last-writer-wins' as const],
  ['a function', greater],
])(
  'histories of three operations converge under every pattern of delivery: %s',
  async (_, policy) => {
    const own = await createPair({
      schemas: SCHEMAS,
      capability: {
        tables: [
          { monolith: 'item', service: 'thing', key: { id: 'id' }, columns: { nm: 'name' } },
        ],
        canary: { writes: true, conflicts: policy },
      },
    });
    pair = own;
    const { shop, catalog } = await applications(own);
    const histories = sequences(LENGTH);
    let first = 1;
    // Half of the keys have a row to begin with.
    const patterns = DELIVERIES.flatMap((one) => DELIVERIES.map((two) => [one, two]));
    const span = histories.length * 2;
    await shop.query(
      `INSERT INTO item (id, nm) SELECT i, 'a' FROM generate_series(1, $1::int) i WHERE i % 2 = 0`,
      [span * patterns.length + 1],
    );
    await advanceTo(own, 'sync');
    const begin = startSync(own, { chunkRows: 2_000 });
    await advanceTo(own, 'canary');
    await share(own);
    await begin.stop();

    const flows = { to: await openFlow(own), back: await openFlow(own, { direction: 'back' }) };
    for (const pattern of patterns) {
      for (let step = 0; step < LENGTH; step++) {
        for (const operation of OPERATIONS) {
          const keys = histories.flatMap((history, index) =>
            history[step] === operation ? [first + 2 * index, first + 2 * index + 1] : [],
          );
          const client = operation.startsWith('owner') ? shop : catalog;
          // Two values, so that they come again.
          await client.query(statementOf(operation, 'ab'.charAt(step % 2)), [keys]);
        }
        for (const direction of pattern[step] ?? [])
          await deliver(own, flows[direction], direction);
      }
      first += span;
    }
    await flows.to.close();
    await flows.back.close();

    const rest = startSync(own);
    await settled(own);
    await settled(own);
    await equal(own, () => views(own));
    expect(await scalar(own.service, 'SELECT count(*) FROM banyan.flight')).toBe('0');
    expect(await scalar(own.monolith, 'SELECT count(*) FROM banyan.awaited')).toBe('0');
    const judged = await conflicts(own);
    expect(judged.length).toBeGreaterThan(100);
    expect(new Set(judged.map(({ reason }) => reason))).toEqual(
      new Set(['different', 'missing', 'exists']),
    );
    expect(judged.some(({ verdict }) => verdict === 'service')).toBe(policy !== 'owner-wins');
    await rest.stop();
    await shop.end();
    await catalog.end();
  },
);

function sequences(length: number): Operation[][] {
  if (length === 0) return [[]];
  return sequences(length - 1).flatMap((rest) => OPERATIONS.map((one) => [...rest, one]));
}

function statementOf(operation: Operation, value: string): string {
  const [table, column] = operation.startsWith('owner') ? ['item', 'nm'] : ['thing', 'name'];
  switch (operation) {
    case 'owner insert':
    case 'service insert':
      return `INSERT INTO ${table} (id, ${column}) SELECT unnest($1::int[]), '${value}' ON CONFLICT DO NOTHING`;
    case 'owner update':
    case 'service update':
      return `UPDATE ${table} SET ${column} = '${value}' WHERE id = ANY ($1)`;
    case 'owner delete':
    case 'service delete':
      return `DELETE FROM ${table} WHERE id = ANY ($1)`;
  }
}

let delivered = 0;

/** All that the source of this flow has committed until now is applied. */
async function deliver(own: Pair, flow: FlowParts, direction: 'to' | 'back'): Promise<void> {
  const at = `mark ${++delivered}`;
  await own[direction === 'to' ? 'monolith' : 'service'].query(
    'SELECT pg_logical_emit_message(true, $1, $2)',
    [
      MESSAGE_PREFIX,
      encodeMessage({ kind: 'heartbeat', flow: `catalog:${direction}`, at, xmin: 3 }),
    ],
  );
  const applier = await flow.applier();
  for (let watermark; watermark !== at;) {
    const applied = await applier.apply(await flow.log.read(new AbortController().signal));
    watermark = applied.watermark ?? watermark;
  }
}

async function views(own: Pair): Promise<{ monolith: unknown[]; service: unknown[] }> {
  const mine = await own.monolith.query<object>('SELECT id, nm FROM item ORDER BY id');
  const theirs = await own.service.query<object>('SELECT id, name AS nm FROM thing ORDER BY id');
  return { monolith: mine.rows, service: theirs.rows };
}
