// The command line that every benchmark shares: `node bench/x.ts [--json FILE] [--rounds N]
// [--round-ms N]`. Prints a table; `--json` also writes the figures and ratios for machines.
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { runCases, table, type Case, type Plan } from './harness.ts';

/** Runs the cases as the arguments say and reports. */
export async function runCommand(cases: readonly Case[], args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      json: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      'round-ms': { type: 'string', default: '2000' },
    },
  });
  const roundMs = Number(values['round-ms']);
  const plan: Plan = { rounds: Number(values.rounds), warmUpMs: 2 * roundMs, roundMs };
  const report = await runCases(cases, plan, (line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`${table(cases, report)}\n`);
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
}
