import { expect, test } from '@jest/globals';
import { defineMigration } from './define.ts';
import type { Capability, MigrationInput } from './definition.ts';
import { definitionVersion } from './definition-version.ts';

function capability(given: Partial<MigrationInput['capabilities'][string]>): Capability {
  const database = { capture: 'a', applier: 'b', coordinator: 'c' };
  const { capabilities } = defineMigration({
    monolith: { upstream: 'http://m', database },
    services: { catalog: { upstream: 'http://s', database } },
    capabilities: {
      catalog: {
        service: 'catalog',
        routes: ['/a'],
        tables: [{ monolith: 'm', service: 's', key: { id: 'id' }, columns: { a: 'a', b: 'b' } }],
        ...given,
      },
    },
  });
  const { catalog } = capabilities;
  if (!catalog) throw new Error('no catalog');
  return catalog;
}

test('the version of a definition changes with each setting, and not with the order they are written in', () => {
  const plain = definitionVersion(capability({}));
  expect(plain).toMatch(/^[0-9a-f]{16}$/);
  const table = { monolith: 'm', service: 's', key: { id: 'id' } };
  expect(
    definitionVersion(capability({ tables: [{ ...table, columns: { b: 'b', a: 'a' } }] })),
  ).toBe(plain);
  const judge = (verdict: 'owner' | 'service') =>
    verdict === 'owner' ? () => 'owner' as const : () => 'service' as const;
  const others = [
    capability({ tables: [{ ...table, columns: { a: 'a' } }] }),
    capability({ leaves: 'copy' }),
    capability({ gates: { lagMs: 1 } }),
    capability({ canary: { writes: true } }),
    capability({ canary: { writes: true, conflicts: judge('owner') } }),
    capability({ canary: { writes: true, conflicts: judge('service') } }),
  ].map(definitionVersion);
  expect(new Set([plain, ...others]).size).toBe(7);
});
