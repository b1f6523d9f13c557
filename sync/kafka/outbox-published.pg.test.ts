// An outbox table that is named while the relay is at work is not passed by without a word.
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { joinRelay } from '../../control/relay.ts';
import { leaveRelay } from '../../control/relay-leave.ts';
import { Participant } from '../../control/participant.ts';
import { createOwned } from '../../test/support/owned.ts';
import { createPair, type Pair } from '../../test/support/pair.ts';
import { checkOutboxes } from './outbox-findings.ts';
import { assertOutboxes } from './outbox-published.ts';

const RELAYED = { tables: ['prd'], known: ['prd'] };
const SOURCE = { name: 'monolith', outboxes: [{ table: 'public.event' }] as never };

let pair: Pair;
let source: Participant;

beforeEach(async () => {
  pair = await createPair({
    changeLog: {
      kafka: { brokers: ['127.0.0.1:1'], prefix: 'p', outbox: { monolith: [{ table: 'event' }] } },
    },
  });
  const { database } = pair.connections.monolith;
  if (!database) throw new Error('no logins');
  const labels = { monolith: 'the monolith', service: 'the service' };
  source = await Participant.open({
    ...{ capability: 'catalog', side: 'monolith', labels, logins: database, tables: [] },
  });
  await createOwned(pair, 'event');
});

afterEach(async () => {
  await leaveRelay(source, RELAYED);
  await source.close();
  await pair.close();
});

test('the relay refuses, a check finds it, and what both say mends it', async () => {
  const findings = (): Promise<readonly object[]> =>
    checkOutboxes(pair.migration, pair.connections);
  // The first flow publishes it.
  expect(await findings()).toEqual([]);
  await joinRelay(source, RELAYED);
  const [finding] = await findings();
  expect(finding).toMatchObject({ severity: 'error', where: 'monolith' });
  await expect(assertOutboxes(source.client, SOURCE)).rejects.toMatchObject({
    code: 'FLOW_STOPPED',
    message: expect.stringContaining('public.event'),
  });
  const sql = /ALTER PUBLICATION [^.]+\.[^.]+/.exec((finding as { hint: string }).hint)?.[0] ?? '';
  await source.client.query(sql);
  expect(await findings()).toEqual([]);
  await assertOutboxes(source.client, SOURCE);
});
