// A commit is in the log before it is visible: the owner's verdict may be back before the service sees
// what the verdict is about.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { sleep } from '../core/lifecycle.ts';
import { openCanary, type Canary } from '../test/support/sharing.ts';
import { Flights } from './flights.ts';

let canary: Canary;

beforeEach(async () => {
  canary = await openCanary();
  // Only what happens here ends a flight.
  canary.gate.shut();
});

afterEach(() => canary.close());

async function inFlight(): Promise<unknown[]> {
  const { rows } = await canary.pair.service.query<{ key: string[] }>(
    'SELECT key FROM banyan.flight',
  );
  return rows.map(({ key }) => key);
}

/** Changes a product in a transaction that is left open; gives its id as the log has it. */
async function change(): Promise<number> {
  await canary.catalog.query(`BEGIN; UPDATE product SET name = 'mine' WHERE id = 1`);
  const { rows } = await canary.catalog.query<{ xid: string }>(
    'SELECT pg_current_xact_id()::xid::text AS xid',
  );
  return Number(rows[0]?.xid);
}

test('a flight ends also where the commit that began it is not visible yet when the verdict comes', async () => {
  const xid = await change();
  const ended = new Flights(canary.pair.service, 'catalog').end([xid]);
  await sleep(200);
  await canary.catalog.query('COMMIT');
  await ended;
  expect(await inFlight()).toEqual([]);
});

test('where it stays invisible the verdict is tried again later, and ends nothing until then', async () => {
  const flights = new Flights(canary.pair.service, 'catalog');
  const xid = await change();
  await expect(flights.end([xid])).rejects.toMatchObject({ code: '55P03' });
  await canary.catalog.query('COMMIT');
  expect(await inFlight()).toEqual([['1']]);
  await flights.end([xid]);
  expect(await inFlight()).toEqual([]);
});
