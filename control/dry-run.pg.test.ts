// What a move would do, told beforehand: by the steps that its journal has afterwards, by the names of what is
// there afterwards; and nothing is done by the telling.
import { afterEach, expect, test } from '@jest/globals';
import { createPair, type Pair } from '../test/support/pair.ts';
import {
  advanceTo,
  leftovers,
  startSync,
  streaming,
  type RunningSync,
} from '../test/support/sync.ts';
import { bothStream, createItems } from '../test/support/write-canary.ts';
import { certificates } from './certificates.ts';
import type { MoveRequest } from './domain/move.ts';
import type { DryRun } from './dry-run.ts';

let pair: Pair | undefined;
let sync: RunningSync | undefined;

afterEach(async () => {
  await sync?.stop();
  await pair?.close();
});

/** Looks at one move, and makes sure that this has changed nothing. */
async function look(own: Pair, request: Omit<MoveRequest, 'capability'>): Promise<DryRun> {
  const at = async (): Promise<unknown> => [
    await own.store.readOne('catalog'),
    await own.store.journal('catalog'),
    await leftovers(own),
  ];
  const before = await at();
  const [run] = await own.coordinator().dryRun('catalog', [{ capability: 'catalog', ...request }]);
  expect(await at()).toEqual(before);
  if (!run) throw new Error('one move is one look');
  return run;
}

const touched = ({ steps }: DryRun): string => steps.flatMap(({ touches }) => touches).join('\n');

async function lastSteps(own: Pair): Promise<string[]> {
  return (await certificates(own.db, 'catalog')).at(-1)?.steps.map(({ step }) => step) ?? [];
}

test('from the monolith to the end: what it names is what is there, or gone, afterwards', async () => {
  const own = (pair = await createPair());
  const toSync = await look(own, { event: 'advance' });
  expect(toSync).toMatchObject({ from: 'monolith', to: 'sync', gates: [] });
  await advanceTo(own, 'sync');
  for (const one of await leftovers(own)) {
    const [, name = ''] = one.split(' ');
    // Triggers are told by their tables.
    if (!one.startsWith('trigger')) expect(touched(toSync)).toContain(name);
  }
  expect(touched(toSync)).toMatch(/sets triggers on public\.product, in the service's database/);
  expect(touched(toSync)).not.toMatch(/triggers on public\.prd/);
  sync = startSync(own);
  await advanceTo(own, 'shadow');
  expect(touched(await look(own, { event: 'advance', weight: 10 }))).toContain('_back');
  await advanceTo(own, 'canary');
  await streaming(own, 'to');
  await streaming(own, 'back');

  const toCutover = await look(own, { event: 'advance' });
  expect(toCutover.gates.map(({ gate }) => gate)).toEqual(
    expect.arrayContaining(['sync to lag', 'way back', 'verify']),
  );
  expect(touched(toCutover)).toContain('waits for flow catalog:to');
  expect(touched(toCutover)).toMatch(/raises .*product_id_seq/);
  await advanceTo(own, 'cutover');
  expect(toCutover.steps.map(({ step }) => step)).toEqual(await lastSteps(own));
  await streaming(own, 'back');

  const [back, further] = await own.coordinator().dryRun('catalog', [
    { capability: 'catalog', event: 'rollback', to: 'canary' },
    { capability: 'catalog', event: 'rollback', to: 'shadow' },
  ]);
  expect(back?.gates.find(({ gate }) => gate === 'way forward')).toMatchObject({ advisory: true });
  await own.coordinator().move({ capability: 'catalog', event: 'rollback' });
  expect(back?.steps.map(({ step }) => step)).toEqual(await lastSteps(own));
  expect(further && touched(further)).toMatch(/removes .*slot banyan_catalog_back_/);
  await expect(
    own
      .coordinator()
      .dryRun('catalog', [{ capability: 'catalog', event: 'advance', to: 'retired' }]),
  ).rejects.toMatchObject({ code: 'MOVE_NOT_ALLOWED' });
});

test('into a write canary, and out of it', async () => {
  const own = (pair = await createItems());
  sync = startSync(own);
  await advanceTo(own, 'canary');
  await bothStream(own);
  const into = await look(own, { event: 'weight', weight: 5 });
  expect(into.gates).toMatchObject([{ gate: 'way back', verdict: 'pass' }]);
  expect(touched(into)).toMatch(/triggers on public\.item.*\n.*flow catalog:to/);
  await own.coordinator().move({ capability: 'catalog', event: 'weight', weight: 5 });
  await bothStream(own);
  const out = await look(own, { event: 'weight', weight: 0 });
  const left = await own.coordinator().move({ capability: 'catalog', event: 'weight', weight: 0 });
  expect(out.gates.map(({ gate }) => gate)).toEqual(left.gates.map(({ gate }) => gate));
  expect(out.gates).toMatchObject([
    { gate: 'sync back lag' },
    { gate: 'sync to lag', advisory: true },
  ]);
  // Nobody becomes the owner who was not: no sequence is raised, and no fence lifted.
  expect(out.steps.map(({ step }) => step)).toEqual(
    (await lastSteps(own)).filter((step) => step !== 'sequences' && step !== 'unfenced'),
  );
});
