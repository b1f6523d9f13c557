// What is shown of a stranger's statement: its shape, and nothing of the data in it.
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { queryShape } from './query-shape.ts';

test.each([
  [
    `UPDATE prd SET nm = 'Ann O''Hara', prc = 1.50 WHERE prd_id=17`,
    `UPDATE prd SET nm = ?, prc = ? WHERE prd_id=?`,
  ],
  [
    `SELECT * FROM t1, "T 2" WHERE a1 = $1 AND b = -1e-5`,
    `SELECT * FROM t1, "T 2" WHERE a1 = $1 AND b = -?`,
  ],
  [`SELECT E'it\\'s', U&'d\\0061t', x'ff', $$secret$$, $a$ se$$cret $a$`, `SELECT ?, ?, ?, ?, ?`],
  [
    `DELETE -- of Ann\nFROM a /* for /* Ann */ Hara */ WHERE x IN (1,2)`,
    `DELETE FROM a WHERE x IN (?,?)`,
  ],
  [`INSERT INTO card VALUES ('4111 1111 11`, `INSERT INTO card VALUES (?`],
  [`SELECT 'a\\' secret', 'more'`, `SELECT ?`],
  [`SELECT a FROM "cut o`, `SELECT a FROM ?`],
  [`SELECT 0x1F, 1_000, .5, 10.`, `SELECT ?, ?, ?, ?`],
])('%s is shown as %s', (sql, shape) => {
  expect(queryShape(sql, 200)).toBe(shape);
});

test('it is no longer than it may be', () => {
  expect(queryShape(`SELECT ${'a, '.repeat(100)}b`)).toHaveLength(80);
});

test('no literal shows, whatever surrounds it and wherever the text was cut', () => {
  const secret = 'Zx9Qw7';
  const filler = fc.array(
    fc.constantFrom('a', ' ', "''", '\\', '"', '$', '--', '*', 'é', '\n', '1'),
  );
  const literal = filler
    .map((parts) => parts.join(''))
    .chain((text) =>
      fc.constantFrom(
        `'${text.replaceAll('\\', '')}${secret}'`,
        `E'${text.replaceAll('\\', '\\\\')}${secret}'`,
        `$q$${text.replaceAll('$', '')}${secret}$q$`,
      ),
    );
  fc.assert(
    fc.property(fc.array(literal, { minLength: 1, maxLength: 4 }), fc.nat(), (literals, cut) => {
      const sql = `SELECT ${literals.join(', ')} FROM prd`;
      expect(queryShape(sql, 1_000)).not.toContain(secret);
      expect(queryShape(sql.slice(0, cut % (sql.length + 1)), 1_000)).not.toContain(
        secret.slice(0, 3),
      );
      expect(queryShape(sql, 1_000)).toMatch(/^SELECT .*FROM prd$/);
    }),
  );
});
