import { expect, test } from '@jest/globals';
import { checkConnectorFacts, type ConnectorFacts } from './connector-findings.ts';
import { DEBEZIUM_DEFAULTS, type Modes, type SourceTable } from './debezium/source.ts';

const facts: ConnectorFacts = {
  ...{ slot: 'debezium', plugin: 'pgoutput', active: true, publication: 'p', unpublished: [] },
  ...{ tables: [], modes: DEBEZIUM_DEFAULTS, serverVersion: 180_000, topics: [] },
};

const found = (more: Partial<ConnectorFacts>): string[] =>
  checkConnectorFacts('connector of catalog', { ...facts, ...more })
    .filter(({ what }) => what.includes('slot'))
    .map(({ severity, what }) => `${severity}: ${what}`);

test('a connector that does not run now is a warning, one without a slot is an error', () => {
  expect(found({})).toEqual([]);
  expect(found({ active: false })).toEqual([
    'warning: nobody reads slot debezium now: the flow waits until the connector does',
  ]);
  expect(found({ plugin: undefined, active: false })).toEqual([
    expect.stringMatching(/^error: there is no replication slot debezium/),
  ]);
});

test('arrays of which the connector loses what did not change are an error, unless the old row has it', () => {
  const array = (element: string) => ({
    ...{ name: element, identity: false, notNull: false },
    type: { name: `_${element}`, typmod: -1, element: { name: element, typmod: -1 } },
  });
  const lost = (identity: SourceTable['identity'], modes: Partial<Modes> = {}): unknown[] =>
    checkConnectorFacts('connector of catalog', {
      ...facts,
      modes: { ...DEBEZIUM_DEFAULTS, ...modes },
      tables: [
        {
          ...{ schema: 'shop', table: 'things', identity },
          columns: ['text', 'uuid', 'bytea', 'numeric', 'bool'].map(array),
        },
      ],
    }).filter(({ what }) => what.includes('did not change'));
  const error = (element: string) => ({
    ...{ severity: 'error', where: 'connector of catalog' },
    what: `shop.things.${element}: the connector writes NULL for a large array of ${element} that did not change`,
    hint: 'ALTER TABLE "shop"."things" REPLICA IDENTITY FULL, by which the connector has the value; or map the column nowhere.',
  });
  const errors = ['numeric', 'bool'].map(error);
  expect(lost('default')).toEqual(errors);
  expect(lost('index')).toEqual(errors);
  expect(lost('full')).toEqual([]);
  expect(lost('default', { binary: 'hex' })).toEqual([error('bytea'), ...errors]);
});
