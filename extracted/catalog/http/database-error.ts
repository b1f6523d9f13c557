// What PostgreSQL refused, as far as routes care: which constraint stood in the way.
const UNIQUE_VIOLATION = '23505';
const FOREIGN_KEY_VIOLATION = '23503';

/** The name of the violated unique or foreign key constraint; undefined for any other error. */
function violatedConstraint(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('constraint' in error)) return undefined;
  if (error.code !== UNIQUE_VIOLATION && error.code !== FOREIGN_KEY_VIOLATION) return undefined;
  return typeof error.constraint === 'string' ? error.constraint : undefined;
}

/** Runs a statement; a violated constraint that `problems` names becomes that problem. */
export async function orProblem<T>(
  statement: PromiseLike<T>,
  problems: Readonly<Record<string, () => Error>>,
): Promise<T> {
  try {
    return await statement;
  } catch (error) {
    throw problems[violatedConstraint(error) ?? '']?.() ?? error;
  }
}
