// The single value of a query, as text.
import type pg from 'pg';

export async function scalar(
  client: pg.ClientBase,
  text: string,
  values: readonly unknown[] = [],
): Promise<string> {
  const { rows } = await client.query<unknown[]>({ text, values: [...values], rowMode: 'array' });
  const value = rows[0]?.[0] as string | number | boolean | null | undefined;
  return String(value ?? '');
}
