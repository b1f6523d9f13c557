// A statement without its data, for errors and the journal: what it does to which table helps whoever
// must decide about it, the values in it are a customer's. Literals become `?`, comments go, as
// pg_stat_statements shows it. Text that may be cut off anywhere is no SQL that could be parsed; so
// where it is not clear where a literal ends, everything from there on is left out.

/** What has to be recognised as a whole before anything inside it is looked at. */
const TOKEN = new RegExp(
  [
    /(?<comment>--[^\n]*|\/\*)/u,
    /(?<quoted>(?<![\p{L}\p{N}_$])(?:[eE]|[uU]&|[bBxXnN])?'|')/u,
    /(?<dollar>(?<![\p{L}\p{N}_$])\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$)/u,
    /(?<name>"(?:[^"]|"")*"|[\p{L}_][\p{L}\p{N}_$]*)/u,
    /(?<parameter>\$\d+)/u,
    /(?<number>(?:\d[\d_]*)?\.?\d[\w.]*(?:(?<=[eE])[+-]\d+)?)/u,
    /(?<other>\s+|[^\s])/u,
  ]
    .map((part) => part.source)
    .join('|'),
  'uy',
);

/** The statement with `?` for each literal, on one line, of at most `length` characters. */
export function queryShape(sql: string, length = 80): string {
  let shape = '';
  for (let at = 0; at < sql.length;) {
    TOKEN.lastIndex = at;
    const groups = TOKEN.exec(sql)?.groups ?? {};
    at = TOKEN.lastIndex > at ? TOKEN.lastIndex : sql.length;
    const { comment, quoted, dollar, name, parameter, number, other } = groups;
    if (comment === '/*') {
      at = afterComment(sql, at);
      shape += ' ';
    } else if (comment !== undefined) shape += ' ';
    else if (quoted !== undefined) {
      at = afterQuote(sql, at, /^e/i.test(quoted));
      shape += '?';
    } else if (dollar !== undefined) {
      const end = sql.indexOf(dollar, at);
      at = end < 0 ? sql.length : end + dollar.length;
      shape += '?';
    } else if (number !== undefined) shape += '?';
    // A name that is not closed was cut off.
    else if (other === '"') {
      at = sql.length;
      shape += '?';
    } else shape += name ?? parameter ?? other ?? '';
  }
  const line = shape.replaceAll(/\s+/g, ' ').trim();
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`;
}

/** Comments nest. */
function afterComment(sql: string, from: number): number {
  let depth = 1;
  const edge = /\/\*|\*\//g;
  edge.lastIndex = from;
  for (let found = edge.exec(sql); found; found = edge.exec(sql)) {
    depth += found[0] === '/*' ? 1 : -1;
    if (depth === 0) return edge.lastIndex;
  }
  return sql.length;
}

function afterQuote(sql: string, from: number, escapes: boolean): number {
  for (let at = from; at < sql.length; at++) {
    if (sql[at] === '\\') {
      if (escapes) at += 1;
      // An escape or not, by a setting of the session that wrote it.
      else if (sql[at + 1] === "'") return sql.length;
    } else if (sql[at] === "'") {
      if (sql[at + 1] !== "'") return at + 1;
      at += 1;
    }
  }
  return sql.length;
}
