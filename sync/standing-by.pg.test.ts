// A second `banyan sync`, as there is one while one version takes over from another: it finds the flow taken,
// says nothing of it, and takes it when the first one has gone.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { waitFor } from '../core/lifecycle.ts';
import { flowNames } from '../control/domain/names.ts';
import { createPair, type Pair } from '../test/support/pair.ts';
import { advanceTo, equal, startSync, streaming, type RunningSync } from '../test/support/sync.ts';
import { databaseOf } from './schemas.ts';

let pair: Pair;
let first: RunningSync | undefined;
let second: RunningSync | undefined;

beforeEach(async () => {
  pair = await createPair();
  await pair.monolith.query(
    `INSERT INTO prd (no, nm, prc) SELECT 'N' || i, 'n', i FROM generate_series(1, 10) i`,
  );
  await advanceTo(pair, 'sync');
});

afterEach(async () => {
  await first?.stop();
  await second?.stop();
  first = second = undefined;
  await pair.close();
});

interface Heard {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Starts one, and keeps what it says of flows that fail. */
function startHeard(): { readonly sync: RunningSync; readonly heard: readonly Heard[] } {
  const heard: Heard[] = [];
  const quiet = (): void => undefined;
  const take = (message: string, fields: Heard['fields']): void => {
    if ('error' in fields) heard.push({ message, fields });
  };
  const log = { debug: quiet, info: take, warn: take, error: take };
  return { sync: startSync(pair, { log: log as never }), heard };
}

test('a second process does not write over what the first one says of a flow, and takes over from it', async () => {
  first = startSync(pair);
  await streaming(pair, 'to');
  // Each report that says less than that all is well.
  await pair.db.raw(`
    CREATE TABLE worse AS SELECT * FROM banyan.flow WITH NO DATA;
    CREATE FUNCTION worse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO public.worse SELECT NEW.*; RETURN NULL; END $$;
    CREATE TRIGGER worse AFTER INSERT OR UPDATE ON banyan.flow FOR EACH ROW
      WHEN (NEW.error IS NOT NULL OR NEW.watermark IS NULL) EXECUTE FUNCTION worse()`);
  const { sync, heard } = startHeard();
  second = sync;
  await waitFor(() => heard.length >= 3, { timeoutMs: 60_000, what: 'three attempts' });
  expect(heard).toEqual(
    heard.map(() => ({
      message: 'flow runs elsewhere: standing by',
      fields: {
        ...{ capability: 'catalog', direction: 'to', code: 'APPLIER_REPLACED' },
        error: expect.stringContaining('is applied by another process'),
      },
    })),
  );
  expect(await pair.db('worse').select('status', 'error')).toEqual([]);
  const [line] = await pair.evidence.flows('catalog');
  expect(line).toMatchObject({ status: 'streaming', error: null, errorCode: null });
  expect(line?.watermark).not.toBeNull();

  await first.stop();
  await pair.monolith.query(`UPDATE prd SET nm = 'afterwards'`);
  await streaming(pair, 'to');
  await equal(pair);
});

test('a flow that somebody else holds, and says nothing of, is told to stand still', async () => {
  const [source, target] = [await databaseOf(pair.monolith), await databaseOf(pair.service)];
  const { origin } = flowNames('catalog', 'to', { source, target });
  await pair.service.query('SELECT pg_replication_origin_create($1)', [origin]);
  await pair.service.query('SELECT pg_replication_origin_session_setup($1)', [origin]);
  first = startSync(pair);
  await waitFor(
    async () => (await pair.evidence.flows('catalog'))[0]?.errorCode === 'APPLIER_REPLACED',
    { timeoutMs: 30_000, what: 'the flow to be reported' },
  );
  await pair.service.query('SELECT pg_replication_origin_session_reset()');
  await streaming(pair, 'to');
  await equal(pair);
});
