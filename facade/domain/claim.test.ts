import { expect, test } from '@jest/globals';
import { claimOf } from './claim.ts';

const encoded = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const bearer = (claims: unknown): string =>
  `Bearer ${encoded({ alg: 'none' })}.${encoded(claims)}.`;

test.each([
  [bearer({ sub: 'anna@müller' }), 'anna@müller'],
  [bearer({ sub: 17 }).replace('Bearer', 'bEARER'), '17'],
  [`${bearer({ sub: 'x' })}signature`, 'x'],
  [bearer({ sub: { id: 1 } }), undefined],
  [bearer({ sub: true }), undefined],
  [bearer({}), undefined],
  [bearer(['sub']), undefined],
  [bearer('null'), undefined],
  [bearer('{"sub":'), undefined],
  [bearer({ sub: 'x'.repeat(10_000) }), undefined],
  ['Basic YTpi', undefined],
  ['Bearer opaque', undefined],
  [undefined, undefined],
])('%#', (authorization, expected) => {
  expect(claimOf(authorization, 'sub')).toBe(expected);
});

test('what every object has is no claim', () => {
  expect(claimOf(bearer({}), 'toString')).toBeUndefined();
});
