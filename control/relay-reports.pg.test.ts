// Whose reports stand: those of the relay that holds the lease, and anybody's where nobody does.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';
import { RelayReports, type RelayProgress } from './relay-reports.ts';
import { RelayTerms } from './relay-terms.ts';
import { openControl } from './store.ts';

const SOURCE = 'monolith';

let database: TestDatabase;
let control: Knex;

beforeEach(async () => {
  database = await createControl();
  control = openControl(database.url);
});

afterEach(async () => {
  await control.destroy();
  await database.drop();
});

test('a relay that has been replaced says nothing of the one that works, and speaks again once that is gone', async () => {
  const [reports, terms] = [new RelayReports(control), new RelayTerms(control)];
  const says = async (holder: string): Promise<string | undefined> => {
    const none = { errorCode: null, error: null };
    await reports.report({ source: SOURCE, status: 'running', holder, ...none });
    return (await reports.lines())[0]?.holder;
  };
  await terms.take(SOURCE, undefined, 'first', 'the slot was free');
  expect(await says('first')).toBe('first');
  const term = await terms.take(SOURCE, await terms.latest(SOURCE), 'second', 'first stood still');
  expect(await says('second')).toBe('second');
  expect(await says('first')).toBe('second');
  await terms.release(SOURCE, term ?? 0);
  expect(await says('first')).toBe('first');
  expect(await terms.renew(SOURCE, term ?? 0)).toBe(true);
  expect(await says('second')).toBe('second');
  // Killed: its lease is let go by nobody.
  await control.raw(`UPDATE banyan.relay_term SET renewed_at = clock_timestamp() - interval '5 s'`);
  expect(await says('first')).toBe('first');
});

test('a relay that has confirmed nothing yet leaves what the last one knew; one that has, and does not know, takes it away', async () => {
  const reports = new RelayReports(control);
  const says = async (more: Partial<RelayProgress>): Promise<unknown> => {
    const own = { source: SOURCE, status: 'running', holder: 'one', errorCode: null } as const;
    await reports.report(
      { ...own, error: null },
      {
        ...{ position: undefined, behindMs: undefined, lagP50Ms: null, lagP99Ms: null },
        ...{ written: 0, bytes: 0, letters: 0, confirmed: undefined, chain: undefined, ...more },
      },
    );
    const [line] = await reports.lines();
    return [line?.confirmed, line?.chain];
  };
  const known = ['0/20', '0/20 life 0/10'];
  expect(await says({ confirmed: '0/20', chain: '0/20 life 0/10' })).toEqual(known);
  expect(await says({})).toEqual(known);
  expect(await says({ confirmed: '0/30' })).toEqual(['0/30', null]);
});
