// A pair in which both sides write, and ways to look at what became of it.
import type pg from 'pg';
import type { ConflictPolicy } from '../../control/domain/conflicts.ts';
import { withEnds } from '../../control/ends.ts';
import { enterSharing, leaveSharing } from '../../control/sharing.ts';
import { connect } from '../../core/postgres/connect.ts';
import type { ChangeLog } from '../../sync/change-log.ts';
import { listConflicts, type ConflictLine } from '../../sync/conflicts.ts';
import { createPair, SESSION, type Pair } from './pair.ts';
import { advanceTo, equal, logGate, startSync, streaming, type LogGate } from './sync.ts';

/** Both sides' tables as a write canary needs them. */
export async function fullIdentity(pair: Pair): Promise<void> {
  for (const table of ['prd', 'cat'])
    await pair.monolith.query(`ALTER TABLE ${table} REPLICA IDENTITY FULL`);
  for (const table of ['product', 'product_text', 'category'])
    await pair.service.query(`ALTER TABLE ${table} REPLICA IDENTITY FULL`);
}

async function moved(pair: Pair, move: typeof enterSharing): Promise<void> {
  const definition = pair.migration.capabilities['catalog'];
  if (!definition) throw new Error('no definition');
  const state = await pair.store.readOne('catalog');
  const entry = { who: 'test', event: 'share', why: '', evidence: {} };
  const { epoch } = await pair.store.change(state, { epoch: state.epoch + 1 }, entry);
  await withEnds(
    { ...pair.migration, ...pair, changeLog: 'direct' },
    'catalog',
    definition,
    async (ends) => {
      if (!ends) throw new Error('no ends');
      await move({ ends, definition, epoch });
    },
  );
}

export const share = (pair: Pair): Promise<void> => moved(pair, enterSharing);
export const unshare = (pair: Pair): Promise<void> => moved(pair, leaveSharing);

/** Everything that either side has written has travelled, and so have the answers. */
export async function settled(pair: Pair): Promise<void> {
  await streaming(pair, 'back');
  await streaming(pair, 'to');
}

export function conflicts(pair: Pair): Promise<ConflictLine[]> {
  return listConflicts('catalog', pair.connections.monolith.database?.applier ?? '');
}

/** An application's own sessions at both sides. */
export async function applications(pair: Pair): Promise<{ shop: pg.Client; catalog: pg.Client }> {
  return {
    shop: await connect(pair.monolithAppUrl, SESSION),
    catalog: await connect(pair.serviceAppUrl, SESSION),
  };
}

export interface Canary {
  readonly pair: Pair;
  /** Of the monolith's application, and the service's. */
  readonly shop: pg.Client;
  readonly catalog: pg.Client;
  /** Holds both streams back. */
  readonly gate: LogGate;
  /** Changes of rows that the two streams have brought, by the source's table. */
  readonly travelled: ReadonlyMap<string, number>;
  /** Writes at both sides before either hears of the other; the second one is the later. */
  atOnce(
    first: 'shop' | 'catalog',
    statements: { readonly shop: string; readonly catalog: string },
  ): Promise<void>;
  /** Names of the monolith's products with these numbers. */
  names(ids: readonly number[]): Promise<string[]>;
  close(): Promise<void>;
}

/** The small shop with ten products and three categories, in a write canary that runs. */
export async function openCanary(policy: ConflictPolicy = 'owner-wins'): Promise<Canary> {
  const pair = await createPair({ capability: { canary: { writes: true, conflicts: policy } } });
  const { shop, catalog } = await applications(pair);
  await fullIdentity(pair);
  await shop.query(
    `INSERT INTO cat SELECT i, 'c' FROM generate_series(1, 3) i;
     INSERT INTO prd (no, nm, prc, dsc) SELECT 'N' || i, 'n', 1, 'text' FROM generate_series(1, 10) i`,
  );
  await advanceTo(pair, 'sync');
  const gate = logGate();
  const travelled = new Map<string, number>();
  const sync = startSync(pair, { wrapLog: (log) => gate.wrap(counting(log, travelled)) });
  await advanceTo(pair, 'canary');
  await share(pair);
  return {
    ...{ pair, shop, catalog, gate, travelled },
    atOnce: async (first, statements) => {
      gate.shut();
      const clients = { shop, catalog };
      const second = first === 'shop' ? 'catalog' : 'shop';
      for (const side of [first, second] as const) await clients[side].query(statements[side]);
      gate.open();
      await settled(pair);
      await equal(pair);
    },
    names: async (ids) => {
      const { rows } = await shop.query<{ nm: string }>(
        'SELECT nm FROM prd WHERE prd_id = ANY ($1) ORDER BY prd_id',
        [ids],
      );
      return rows.map(({ nm }) => nm);
    },
    close: async () => {
      await sync.stop();
      await shop.end();
      await catalog.end();
      await pair.close();
    },
  };
}

function counting(log: ChangeLog, travelled: Map<string, number>): ChangeLog {
  return {
    timeline: log.timeline,
    acknowledge: (lsn) => {
      log.acknowledge(lsn);
    },
    close: () => log.close(),
    read: async (signal) => {
      const pieces = await log.read(signal);
      for (const change of pieces.flatMap((piece) => piece.changes))
        if ('relation' in change) {
          const { table } = change.relation;
          travelled.set(table, (travelled.get(table) ?? 0) + 1);
        }
      return pieces;
    },
  };
}
