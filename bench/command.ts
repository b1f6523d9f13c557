// The command line that every benchmark shares: `node bench/x.ts [--json FILE] [--rounds N]
// [--round-ms N] [--only CASE]`. Many short rounds, so that contenders take turns faster than the noise of the
// machine changes. Prints a table; `--json` also writes the figures and ratios for machines.
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { runCases, table, type Case, type Plan } from './harness.ts';

/** Until the compilers of all contenders are through. */
const WARM_UP_MS = 2_000;

/** Runs the cases as the arguments say and reports. */
export async function runCommand(all: readonly Case[], args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'string' },
      rounds: { type: 'string', default: '20' },
      'round-ms': { type: 'string', default: '500' },
      only: { type: 'string', default: '' },
    },
  });
  const cases = all.filter(({ name }) => name.includes(values.only));
  const roundMs = Number(values['round-ms']);
  const plan: Plan = { rounds: Number(values.rounds), warmUpMs: WARM_UP_MS, roundMs };
  const report = await runCases(cases, plan, (line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`${table(cases, report)}\n`);
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
}
