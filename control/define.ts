// `defineMigration`: checks what a team writes, reports every mistake at once, each with its path.
import { BanyanError } from '../core/errors.ts';
import { crossChecks, describeIssue } from './definition-checks.ts';
import { schema, type Migration, type MigrationInput } from './definition.ts';

const checked = schema.superRefine(crossChecks);

/** The value of an environment variable, read when the command starts, so that no secret stands in the file. */
export function env(name: string, fallback?: string): { env: string; default?: string } {
  return fallback === undefined ? { env: name } : { env: name, default: fallback };
}

/**
 * Checks a definition and fills in its defaults.
 * Throws CONFIG_INVALID naming every mistake with its path.
 */
export function defineMigration(input: MigrationInput): Migration {
  const parsed = checked.safeParse(input);
  if (parsed.success) return parsed.data;
  const mistakes = parsed.error.issues.flatMap(describeIssue);
  throw new BanyanError(
    'CONFIG_INVALID',
    `the migration definition has ${mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`}:\n${mistakes.map((line) => `  - ${line}`).join('\n')}`,
    {
      hint: 'Each line names the place in the definition; docs/definition.md lists every key.',
      details: mistakes,
    },
  );
}
