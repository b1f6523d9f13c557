import { expect, test } from '@jest/globals';
import { checkConnectorFacts, type ConnectorFacts } from './connector-findings.ts';
import { DEBEZIUM_DEFAULTS } from './debezium/source.ts';

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
