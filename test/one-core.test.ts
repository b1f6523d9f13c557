// An edge on one core is started with a collector that has no threads of its own.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { expect, test } from '@jest/globals';
import { ROOT } from './support/command.ts';

const TELL = 'data:text/javascript,console.error("flags:"+process.execArgv.join())';

/** What each start of the command was given. */
function starts(cores: string, ...args: string[]): boolean[] {
  const said = execFileSync(
    'sh',
    ['-c', 'exec taskset -c "$@" 2>&1', 'sh', cores, process.execPath, '--import', TELL].concat([
      '--conditions=source',
      'cli/main.ts',
      ...args,
    ]),
    { cwd: ROOT, encoding: 'utf8', env: { ...process.env, NODE_OPTIONS: '' } },
  );
  expect(said).toContain('Usage: banyan');
  return [...said.matchAll(/^flags:(.*)$/gm)].map(([, flags = '']) =>
    flags.includes('--single-threaded-gc'),
  );
}

/** The first two cores that this process may use. */
function allowed(): string[] {
  const [, list = ''] =
    /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return first === last ? [String(first)] : [String(first), String(first + 1)];
  });
}

const taskset = availableParallelism() > 1 && process.platform === 'linux' ? test : test.skip;

taskset('where it has one core, and there only', () => {
  const [one = '', two = ''] = allowed();
  expect(starts(one, 'facade', '--help')).toEqual([false, true]);
  expect(starts(one, 'sync', '--help')).toEqual([false]);
  expect(starts(`${one},${two}`, 'facade', '--help')).toEqual([false]);
});
