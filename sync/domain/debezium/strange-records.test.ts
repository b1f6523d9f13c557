import { expect, test } from '@jest/globals';
import { createDecoder } from './decoder.ts';

test.each([
  ['unwrapped', { id: 1, name: 'a' }],
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
