// What a command answers: text for people, or one JSON document with --json. Errors end the process
// with the exit code of their catalogue entry.
import { BanyanError, CATALOGUE, messageOf } from '../core/errors.ts';

/** Prints `data` as JSON, or the text. */
export function answer(json: boolean, data: unknown, text: string): void {
  process.stdout.write(json ? `${JSON.stringify(data)}\n` : `${text}\n`);
}

/** Prints an error as `[CODE] what`, then how to mend it; gives the exit code. */
export function answerError(json: boolean, error: unknown): number {
  const known = error instanceof BanyanError;
  const code = known ? error.code : 'INTERNAL';
  const hint = known
    ? error.hint
    : 'This is a defect of banyan itself; please report it with the line above.';
  if (json)
    process.stdout.write(
      `${JSON.stringify({ error: { code, message: messageOf(error), hint, details: known ? error.details : undefined } })}\n`,
    );
  else {
    process.stderr.write(`[${code}] ${messageOf(error)}\n`);
    if (hint !== undefined) process.stderr.write(`${hint}\n`);
    if (!known && error instanceof Error && error.stack !== undefined)
      process.stderr.write(`${error.stack}\n`);
  }
  return CATALOGUE[code].exit;
}

/** Columns padded to their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** A time for people: `12 ms`, `3.4 s`, `7 min`. */
export function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 120_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`;
}

/** A number of bytes for people: `12 kB`, `3 MB`, `1.5 GB`. */
export function bytes(count: number): string {
  if (count < 1_048_576) return `${Math.ceil(count / 1_024)} kB`;
  return count < 1_073_741_824
    ? `${Math.round(count / 1_048_576)} MB`
    : `${(count / 1_073_741_824).toFixed(1)} GB`;
}
