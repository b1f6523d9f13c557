// A monolith and a service as a team would write them, each on its own tables: a write adds an item and
// moves a balance in one transaction, so that what is lost and what happens twice both show; with an
// Idempotency-Key it answers again what it answered first.
import pg from 'pg';
import type { PairOptions } from '../pair.ts';
import { serve } from '../http.ts';
import type { Owner } from '../../../control/domain/phase.ts';

export const ACCOUNTS = 20;

export const SHELF: Required<Pick<PairOptions, 'capability' | 'schemas'>> = {
  schemas: {
    monolith: `
      CREATE TABLE acct (aid integer PRIMARY KEY, bal bigint NOT NULL);
      CREATE TABLE item (id bigint PRIMARY KEY, aid integer NOT NULL REFERENCES acct);
      CREATE TABLE idem (k text PRIMARY KEY, answer text NOT NULL);
      INSERT INTO acct SELECT i, 0 FROM generate_series(0, ${ACCOUNTS - 1}) i`,
    service: `
      CREATE TABLE account (id integer PRIMARY KEY, balance bigint NOT NULL);
      CREATE TABLE thing (id bigint PRIMARY KEY, account_id integer NOT NULL REFERENCES account);
      CREATE TABLE idempotency (key text PRIMARY KEY, answer text NOT NULL)`,
  },
  capability: {
    routes: ['/api/items/**'],
    canary: { cohort: { header: 'x-client' } },
    tables: [
      { monolith: 'acct', service: 'account', key: { aid: 'id' }, columns: { bal: 'balance' } },
      { monolith: 'item', service: 'thing', key: { id: 'id' }, columns: { aid: 'account_id' } },
      {
        monolith: 'idem',
        service: 'idempotency',
        key: { k: 'key' },
        columns: { answer: 'answer' },
      },
    ],
  },
};

interface Names {
  readonly account: string;
  readonly item: string;
  readonly key: string;
}

const NAMES: Readonly<Record<Owner, Names>> = {
  monolith: { account: 'acct SET bal = bal + 1 WHERE aid', item: 'item', key: 'idem' },
  service: {
    account: 'account SET balance = balance + 1 WHERE id',
    item: 'thing',
    key: 'idempotency',
  },
};

export interface App {
  readonly url: string;
  /** Writes with this Idempotency-Key commit, and their answers never come. */
  loseAnswersTo(key: string): void;
  close(): Promise<void>;
}

/** Serves `POST` and `GET /api/items/<number>` on one side's database. */
export async function startApp(side: Owner, databaseUrl: string): Promise<App> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 16 });
  pool.on('error', () => undefined);
  // A session that is in use has no other listener: without one a server that is killed ends the test.
  pool.on('connect', (session) => {
    session.on('error', () => undefined);
  });
  const { account, item, key } = NAMES[side];
  const losing = new Set<string>();
  const add = async (id: number, given: string | undefined): Promise<string> => {
    const session = await pool.connect();
    let broken: Error | undefined;
    try {
      const stored =
        given === undefined
          ? undefined
          : await session.query(
              `SELECT answer FROM ${key} WHERE ${side === 'monolith' ? 'k' : 'key'} = $1`,
              [given],
            );
      const [first] = (stored?.rows ?? []) as { answer: string }[];
      if (first) return first.answer;
      const answer = `${id} by the ${side}`;
      const keep =
        given === undefined
          ? ''
          : `INSERT INTO ${key} VALUES (${pg.escapeLiteral(given)}, '${answer}');`;
      await session.query(
        `BEGIN; ${keep} INSERT INTO ${item} VALUES (${id}, ${id % ACCOUNTS}); UPDATE ${account} = ${id % ACCOUNTS}; COMMIT`,
      );
      return answer;
    } catch (error) {
      broken = error as Error;
      throw error;
    } finally {
      session.release(broken);
    }
  };
  const server = await serve((req, res) => {
    const id = Number((req.url ?? '').split('/').at(-1));
    const given = req.headers['idempotency-key'];
    const work =
      req.method === 'POST'
        ? add(id, given as string | undefined)
        : pool
            .query({ name: 'item', text: `SELECT id FROM ${item} WHERE id = $1`, values: [id] })
            .then(({ rows }) => String(rows.length));
    // Heard at once: it may fail before the request has been read to its end.
    const end = work.then(
      (answer) => () => {
        if (losing.has(String(given))) res.destroy();
        else res.end(answer);
      },
      (error: unknown) => () => {
        res.statusCode = (error as { code?: string }).code === 'BN001' ? 409 : 500;
        res.end(String(error));
      },
    );
    req.resume().on('end', () => {
      void end.then((answer) => {
        answer();
      });
    });
  });
  return {
    url: server.url,
    loseAnswersTo: (lost) => {
      losing.add(lost);
    },
    close: async () => {
      await server.close();
      await pool.end();
    },
  };
}
