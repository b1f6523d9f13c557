// The package as a stranger gets it: packed, installed in an empty project, its command run and its
// three entry points used from there.
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ROOT } from './support/command.ts';

const run = promisify(execFile);
let project: string;

beforeAll(async () => {
  project = await mkdtemp(path.join(tmpdir(), 'banyan-package-'));
  await run('npm', ['pack', '--silent', '--pack-destination', project], {
    cwd: ROOT,
    // The types of what is packed are what `npm run check` looks at.
    env: { ...process.env, TSC_FLAGS: '--noCheck' },
  });
  const [archive = ''] = (await readdir(project)).filter((name) => name.endsWith('.tgz'));
  await writeFile(path.join(project, 'package.json'), '{ "private": true, "type": "module" }');
  const quiet = [
    '--ignore-scripts',
    '--omit=optional',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
  ];
  await run('npm', ['install', ...quiet, `./${archive}`], { cwd: project });
}, 180_000);

afterAll(async () => {
  await rm(project, { recursive: true, force: true });
});

const inProject = (args: string[]): Promise<{ stdout: string; stderr: string }> =>
  run(process.execPath, args, { cwd: project, env: { ...process.env, NODE_OPTIONS: '' } });

test('the command runs, and says how to go on where there is no definition', async () => {
  const command = path.join(project, 'node_modules/banyan/dist/cli/main.js');
  expect((await inProject([command, '--version'])).stdout.trim()).toBe('0.1.0');
  await expect(inProject([command, 'status'])).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining(
      '[CONFIG_INVALID] there is no configuration file banyan.config.ts',
    ) as unknown as string,
  });
});

test('an old Node is told so, before anything that it lacks is loaded', async () => {
  const command = path.join(project, 'node_modules/banyan/dist/cli/main.js');
  const old = `data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'22.17.9'}})`;
  await expect(inProject(['--import', old, command, '--version'])).rejects.toMatchObject({
    code: 2,
    stderr: '[USAGE] this is Node 22.17.9; banyan needs 22.18, 24 or newer\n',
  });
});

test('the three entry points load, and a definition written against them is checked', async () => {
  await writeFile(
    path.join(project, 'use.ts'),
    `import { defineMigration, scale } from 'banyan';
     import { createFacade, facadePart } from 'banyan/facade';
     import { syncPart, verify } from 'banyan/sync';
     const migration = defineMigration({
       monolith: { upstream: 'http://127.0.0.1:1' },
       services: { a: { upstream: 'http://127.0.0.1:2' } },
       capabilities: { a: { service: 'a', routes: ['/a/**'] } },
     });
     console.log(Object.keys(migration.capabilities), scale('x', 100).lens, typeof createFacade, typeof facadePart, typeof syncPart, typeof verify);`,
  );
  const { stdout } = await inProject(['--disable-warning=ExperimentalWarning', 'use.ts']);
  expect(stdout.trim()).toBe(`[ 'a' ] scale function function function function`);
});

test('its types compile in a strict project', async () => {
  await writeFile(
    path.join(project, 'banyan.config.ts'),
    `import { defineMigration, env, values, type Migration } from 'banyan';
     import type { FacadeOptions } from 'banyan/facade';
     import type { SyncOptions } from 'banyan/sync';
     export default defineMigration({
       control: env('CONTROL'),
       monolith: { upstream: env('M') },
       services: { a: { upstream: env('A') } },
       capabilities: { a: { service: 'a', routes: ['/a/**'], tables: [{ monolith: 't', service: 's', key: { id: 'id' }, columns: { c: values('d', { A: 'a' }) } }] } },
     }) satisfies Migration;
     export type Both = [FacadeOptions, SyncOptions];`,
  );
  const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc');
  const flags = [
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    'banyan.config.ts',
  ];
  const { stdout } = await inProject([tsc, ...flags]).catch(
    (error: unknown) => error as { stdout: string },
  );
  expect(stdout).toBe('');
});

test('the package holds what runs it and nothing of the sample', async () => {
  const files = await readdir(path.join(project, 'node_modules/banyan'), { recursive: true });
  expect(files).toContain('dist/migrations/participant/0001_participant.sql');
  expect(
    files.filter((name) => /monolith|extracted|\.test\./.test(name) && !name.includes('control/')),
  ).toEqual([]);
});
