import { expect, test } from '@jest/globals';
import { createDecoder } from './decoder.ts';

test.each([
  ['unwrapped', { id: 1, name: 'a' }],
  ['unwrapped with a status', { id: 1, status: 'paid' }],
  ['unwrapped with a status that a transaction has too', { id: 1, status: 'END' }],
  ['unwrapped with a count', { id: '1', status: 'paid', event_count: 1, data_collections: null }],
  ['without a source', { op: 'c', before: null, after: { id: 1 } }],
  ['of something else', [1, 2]],
])('a record %s is not passed over', (_, payload) => {
  const decoder = createDecoder({ tables: () => undefined, layout: 'table' });
  const record = { topic: 'mono.shop.things', key: null, headers: {} };
  expect(() => decoder.decode({ ...record, value: JSON.stringify(payload) })).toThrow(
    expect.objectContaining({
      code: 'FLOW_STOPPED',
      message: expect.stringContaining('is no change as the connector writes it') as unknown,
    }),
  );
});
