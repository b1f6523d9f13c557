import { expect, test } from '@jest/globals';
import { resolveConnections } from '../../control/connections.ts';
import { defineMigration } from '../../control/define.ts';
import { relaySources } from './relay-sources.ts';

const database = {
  capture: 'postgresql://c@127.0.0.1/d',
  applier: 'postgresql://a@127.0.0.1/d',
  coordinator: 'postgresql://o@127.0.0.1/d',
};

test.each([
  ['changes', ['shop.monolith.changes', 'shop.billing.changes']],
  ['table', ['shop.monolith.public.inv', 'shop.billing.public.invoice']],
] as const)('in layout %s no source has the name of a topic to itself', (layout, names) => {
  const migration = defineMigration({
    control: 'postgresql://b@127.0.0.1/b',
    monolith: { upstream: 'http://m', database },
    services: { billing: { upstream: 'http://b', database } },
    changeLog: { kafka: { brokers: ['127.0.0.1:9092'], prefix: 'shop', layout } },
    capabilities: {
      billing: {
        service: 'billing',
        routes: ['/invoices'],
        tables: [
          { monolith: 'inv', service: 'invoice', key: { no: 'id' }, columns: { amt: 'amount' } },
        ],
      },
    },
  });
  const sources = relaySources(migration, resolveConnections(migration, {}));
  expect(sources.map(({ name }) => name)).toEqual(['monolith', 'billing']);
  for (const { reserved } of sources)
    expect([...reserved]).toEqual(
      expect.arrayContaining([...names, 'shop.monolith.dead-letters', 'shop.billing.dead-letters']),
    );
});
