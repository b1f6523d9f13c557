// Runs a batch job against the database directly: one connection, one transaction, one JSON line
// on stdout. A database error is told on stderr as `SQLSTATE: message` with its detail and hint and
// ends the process with 1; a wrong option ends it with 2, before anything is opened.
import pg from 'pg';

export interface Job<Options> {
  readonly name: string;
  /** Reads the command line; throws when it is wrong. */
  readonly options: () => Options;
  /** Gives what the JSON line tells. */
  readonly work: (client: pg.Client, options: Options) => Promise<object>;
}

/** Never rejects: sets the exit code. */
export async function runJob<Options>(job: Job<Options>): Promise<void> {
  const url = process.env['DATABASE_URL'];
  let options: Options;
  try {
    if (!url) throw new Error('DATABASE_URL is not set');
    options = job.options();
  } catch (error) {
    fail(2, error);
    return;
  }
  const client = new pg.Client({
    connectionString: url,
    application_name: `monolith-batch-${job.name}`,
  });
  try {
    await client.connect();
    await client.query('BEGIN');
    const result = await job.work(client, options);
    await client.query('COMMIT');
    process.stdout.write(`${JSON.stringify({ job: job.name, ...result })}\n`);
  } catch (error) {
    fail(1, error);
  } finally {
    // An open transaction ends with its connection.
    await client.end().catch(() => undefined);
  }
}

/** The value of an option, which must match the pattern. */
export function required(name: string, value: string | undefined, pattern: RegExp): string {
  if (value === undefined) throw new Error(`--${name} is missing`);
  if (!pattern.test(value)) throw new Error(`--${name} ${value} does not match ${pattern.source}`);
  return value;
}

function fail(exitCode: 1 | 2, error: unknown): void {
  process.exitCode = exitCode;
  process.stderr.write(`${describe(error)}\n`);
}

function describe(error: unknown): string {
  if (!(error instanceof pg.DatabaseError))
    return error instanceof Error ? error.message : String(error);
  const lines = [`${error.code ?? 'XX000'}: ${error.message}`];
  if (error.detail) lines.push(`detail: ${error.detail}`);
  if (error.hint) lines.push(`hint: ${error.hint}`);
  return lines.join('\n');
}
