// What a verification has read again from the service, which owns it: in the texts of its keys there, and some at
// a time.
import { afterEach, expect, test } from '@jest/globals';
import { withClient } from '../core/postgres/connect.ts';
import type { VerifyOutcome } from '../control/verify-outcomes.ts';
import { appliersOf, CLEAN, verified, viewsOf } from '../test/support/mapped.ts';
import { createPair, SESSION, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { verify } from './verify.ts';

let pair: Pair;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  sync = undefined;
  await pair.close();
});

async function repaired(): Promise<VerifyOutcome> {
  const capability = pair.migration.capabilities['catalog'];
  const [monolith, service] = [
    pair.connections.monolith.database,
    pair.connections.services['catalog']?.database,
  ];
  if (!capability || !monolith || !service) throw new Error('no capability');
  return verify({ id: 'catalog', capability, monolith, service, repairFrom: 'service' });
}

test.each([
  ['days, and times there', 'date', 'timestamp', `'2000-01-01'::date + i`, '% 00:00:00'],
  ['numbers, with another scale there', 'numeric(10)', 'numeric(12,2)', 'i', '%.00'],
])(
  'rows whose keys are %s are read again by their texts there, however many',
  async (_, here, there, key, theirs) => {
    pair = await createPair({
      schemas: {
        monolith: `CREATE TABLE item (id ${here} PRIMARY KEY, n integer, nm text, own text)`,
        service: `CREATE TABLE thing (id ${there} PRIMARY KEY, n integer, name text)`,
      },
      capability: {
        tables: [
          {
            ...{ monolith: 'item', service: 'thing', key: { id: 'id' } },
            columns: { n: 'n', nm: 'name' },
            shared: { monolith: ['own'], service: [] },
          },
        ],
      },
    });
    await pair.monolith.query(
      `INSERT INTO item SELECT ${key}, i, 'n' || i, 'own' FROM generate_series(1, 1300) i`,
    );
    await advanceTo(pair, 'sync');
    sync = startSync(pair, { chunkRows: 500 });
    await advanceTo(pair, 'cutover');
    await streaming(pair, 'back');
    await pair.monolith.query(`
      CREATE TABLE listed (key text[], at xid8);
      CREATE FUNCTION listed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN INSERT INTO public.listed VALUES (NEW.key, pg_current_xact_id()); RETURN NULL; END $$;
      CREATE TRIGGER listed AFTER INSERT ON banyan.reread FOR EACH ROW EXECUTE FUNCTION listed()`);
    await withClient(appliersOf(pair).back, SESSION, (client) =>
      client.query(`UPDATE item SET nm = 'wrong' WHERE n <= 1200; DELETE FROM item WHERE n = 1300`),
    );
    expect(await repaired()).toMatchObject({ ...CLEAN, different: 1200, extra: 1 });
    await streaming(pair, 'back');
    await equal(
      pair,
      viewsOf(
        pair,
        'SELECT n, nm AS name FROM item ORDER BY n',
        'SELECT n, name FROM thing ORDER BY n',
      ),
    );
    expect(await verified(pair)).toEqual(CLEAN);
    const listed = await pair.monolith.query(
      `SELECT count(DISTINCT key)::int AS keys, count(*) FILTER (WHERE key[1] LIKE $1)::int AS theirs,
              count(DISTINCT at)::int AS transactions FROM listed`,
      [theirs],
    );
    expect(listed.rows).toEqual([{ keys: 1201, theirs: 1201, transactions: 2 }]);
    // They are written, and not put in anew.
    const own = await pair.monolith.query('SELECT count(own)::int AS n FROM item');
    expect(own.rows).toEqual([{ n: 1299 }]);
  },
);
