// The SQL by which the owner judges one change: a look at its row under lock, compared with the change's
// images by the columns' own types; and the statements that give the change its effect. One text an
// edge, so that they can be prepared.
import { quoteIdentifier, quoteLiteral, quoteTable } from '../../core/postgres/identifiers.ts';
import { sameText } from './equality.ts';
import { targetColumns, type Edge, type TargetColumn } from './mapping.ts';
import { absentText } from './statements.ts';

export interface JudgingTexts {
  /** Parameters: key, image before, image after. Gives: as before, as after, time written (ms), the row. */
  readonly look: string;
  /** Parameters: key, image. */
  readonly update: string | undefined;
  readonly insert: string;
  /** Parameters: key. */
  readonly remove: string;
  /**
   * Gives a row that is as before another key, unless a row has that. Parts that are known by key have
   * not moved by that. Parameters: key, new key, image after, image before.
   */
  readonly move: string;
  /** The same for a row that is as before, and for no other. Parameters: key, image after, image before. */
  readonly agreed: {
    readonly update: string | undefined;
    readonly insert: string;
    /** Parameters: key, image before. */
    readonly remove: string;
  };
}

export interface Judging {
  readonly edge: Edge;
  /** Columns of the same row that other edges write. */
  readonly parts: readonly TargetColumn[];
  /** The columns that a look gives. */
  readonly shown: readonly string[];
  /** Whether it also gives when the row was written. */
  readonly timed: boolean;
}

/** The lock keeps writers out and lets those pass who only point to the row. */
export function judgingTexts({ edge, parts, shown, timed }: Judging): JudgingTexts {
  const { key } = edge;
  const columns = targetColumns(edge);
  const table = quoteTable(edge.target);
  const same = key
    .map((pair, index) => `t.${quoteIdentifier(pair.target)} = $${index + 1}::text::${pair.type}`)
    .join(' AND ');
  const equals = (first: number): string =>
    [
      'true',
      ...columns.map((pair, index) =>
        sameText(`t.${quoteIdentifier(pair.target)}`, `$${first + index}::text`, pair),
      ),
    ].join(' AND ');
  const written = timed ? 'extract(epoch FROM pg_xact_commit_timestamp(t.xmin)) * 1000' : 'NULL';
  const given = key.length + 1;
  const values = [...key, ...columns].map((pair, index) => `$${index + 1}::text::${pair.type}`);
  const named = new Set([...key, ...columns].map((pair) => pair.target));
  const constants = edge.constants.filter((one) => !named.has(one.column));
  const names = [...named, ...constants.map((one) => one.column)].map(quoteIdentifier);
  const fixed = constants.map(
    (one) => `${one.value === null ? 'NULL' : quoteLiteral(one.value)}::${one.type}`,
  );
  const sets = columns.map(
    (pair, index) => `${quoteIdentifier(pair.target)} = $${given + index}::text::${pair.type}`,
  );
  const list = shown.map((name) => `t.${quoteIdentifier(name)}`).join(', ');
  const update =
    sets.length > 0 ? `UPDATE ${table} AS t SET ${sets.join(', ')} WHERE ${same}` : undefined;
  const insert = `INSERT INTO ${table} (${names.join(', ')}) OVERRIDING SYSTEM VALUE VALUES (${[...values, ...fixed].join(', ')})`;
  const moved = key.map((pair, index) => `$${given + index}::text::${pair.type}`);
  const settings = [
    ...key.map((pair, index) => `${quoteIdentifier(pair.target)} = ${moved[index] ?? ''}`),
    ...columns.map(
      (pair, index) =>
        `${quoteIdentifier(pair.target)} = $${given + key.length + index}::text::${pair.type}`,
    ),
    ...parts.map((part) => `${quoteIdentifier(part.target)} = ${absentText(part)}`),
  ];
  const taken = key.map(
    (pair, index) => `x.${quoteIdentifier(pair.target)} = ${moved[index] ?? ''}`,
  );
  const remove = `DELETE FROM ${table} AS t WHERE ${same}`;
  return {
    look: `SELECT ${equals(given)}, ${equals(given + columns.length)}, ${written}, ${list} FROM ${table} AS t WHERE ${same} FOR NO KEY UPDATE`,
    ...{ update, insert, remove },
    move: `UPDATE ${table} AS t SET ${settings.join(', ')} WHERE ${same} AND ${equals(given + key.length + columns.length)}
      AND NOT EXISTS (SELECT FROM ${table} AS x WHERE ${taken.join(' AND ')})`,
    agreed: {
      update: update && `${update} AND ${equals(given + columns.length)}`,
      insert: `${insert} ON CONFLICT DO NOTHING`,
      remove: `${remove} AND ${equals(given)}`,
    },
  };
}
