// A pgbench-like load: concurrent clients move money between accounts and write down each movement.
// They outlive servers that are killed under them, and remember what was acknowledged to them. At the
// target every movement adds to a ledger and every version of an account is noted: neither effect is
// idempotent, so what is applied twice shows.
import { expect } from '@jest/globals';
import type pg from 'pg';
import { isConnectionError, connect, withClient } from '../../core/postgres/connect.ts';
import { sleep, waitFor } from '../../core/lifecycle.ts';
import type { MigrationInput } from '../../control/definition.ts';
import { scale } from '../../control/lenses.ts';
import { SESSION, type PairOptions } from './pair.ts';
import { randomOf } from './random.ts';

const ACCOUNTS = 100;

export const BANK: Required<Pick<PairOptions, 'capability' | 'schemas'>> = {
  schemas: {
    monolith: `
      CREATE TABLE acct (aid integer PRIMARY KEY, bal bigint NOT NULL, ver integer NOT NULL, note text);
      ALTER TABLE acct ALTER COLUMN note SET STORAGE EXTERNAL;
      CREATE TABLE hist (hid bigint PRIMARY KEY, aid integer NOT NULL REFERENCES acct, delta integer NOT NULL);
      INSERT INTO acct SELECT i, 0, 0, repeat('long ', 1000) FROM generate_series(1, ${ACCOUNTS}) i`,
    service: `
      CREATE TABLE account (id integer PRIMARY KEY, cents bigint NOT NULL, version integer NOT NULL, note text);
      CREATE TABLE movement (id bigint PRIMARY KEY, account_id integer NOT NULL REFERENCES account, amount integer NOT NULL)`,
  },
  capability: {
    tables: [
      {
        monolith: 'acct',
        service: 'account',
        key: { aid: 'id' },
        columns: { bal: scale('cents', 100), ver: 'version', note: 'note' },
      },
      {
        monolith: 'hist',
        service: 'movement',
        key: { hid: 'id' },
        columns: { aid: 'account_id', delta: 'amount' },
      },
    ] satisfies MigrationInput['capabilities'][string]['tables'],
  },
};

/** From now on every movement adds to a ledger, and every version of an account is noted. */
export const LEDGER = `
  CREATE TABLE ledger (account_id integer PRIMARY KEY, total bigint NOT NULL, entries bigint NOT NULL);
  INSERT INTO ledger SELECT id, 0, 0 FROM account;
  CREATE TABLE versions (n bigserial, id integer, version integer);
  CREATE FUNCTION add_up() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN UPDATE public.ledger SET total = total + NEW.amount, entries = entries + 1 WHERE account_id = NEW.account_id; RETURN NULL; END $$;
  CREATE FUNCTION note_version() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN INSERT INTO public.versions (id, version) VALUES (NEW.id, NEW.version); RETURN NULL; END $$;
  CREATE TRIGGER add_up AFTER INSERT OR UPDATE ON movement FOR EACH ROW EXECUTE FUNCTION add_up();
  CREATE TRIGGER note_version AFTER INSERT OR UPDATE ON account FOR EACH ROW EXECUTE FUNCTION note_version()`;

export interface BankLoad {
  /** Ends it; gives the numbers of the movements whose commit was acknowledged. */
  stop(): Promise<ReadonlySet<number>>;
}

/** Starts so many clients on the source; each gets a new connection when its server is gone. */
export function startBank(url: string, clients: number, seed: number, pauseMs = 8): BankLoad {
  const ending = new AbortController();
  const acknowledged = new Set<number>();
  const running = Promise.all(
    Array.from({ length: clients }, (_, index) =>
      client(url, seed * 100 + index, pauseMs, acknowledged, ending.signal),
    ),
  );
  return {
    stop: async () => {
      ending.abort();
      await running;
      return acknowledged;
    },
  };
}

async function client(
  url: string,
  seed: number,
  pauseMs: number,
  acknowledged: Set<number>,
  signal: AbortSignal,
): Promise<void> {
  const random = randomOf(seed);
  const pick = (below: number): number => Math.floor(random() * below);
  let session: pg.Client | undefined;
  for (let done = 0; !signal.aborted; done++) {
    const { text, movements } = transactionOf(pick, seed * 1_000_000_000 + done * 50);
    try {
      session ??= await connect(url, SESSION);
      await session.query(text);
      for (const one of movements) acknowledged.add(one);
    } catch (error) {
      // Whether it was committed, nobody knows.
      if (!isConnectionError(error)) throw error;
      void session?.end().catch(() => undefined);
      session = undefined;
      await sleep(50, signal);
    }
    await sleep(pauseMs, signal);
  }
  await session?.end();
}

function transactionOf(
  pick: (below: number) => number,
  first: number,
): { readonly text: string; readonly movements: readonly number[] } {
  const aid = 1 + pick(ACCOUNTS);
  const kind = pick(20);
  if (kind === 0)
    return {
      text: `UPDATE acct SET note = repeat('${pick(9)}', ${pick(3) * 4000}), ver = ver + 1 WHERE aid = ${aid}`,
      movements: [],
    };
  const count = kind < 3 ? 40 : 1;
  const movements = Array.from({ length: count }, (_, index) => first + index);
  const delta = pick(2_000) - 1_000;
  const text = `BEGIN; UPDATE acct SET bal = bal + ${delta * count}, ver = ver + 1 WHERE aid = ${aid};
    INSERT INTO hist SELECT i, ${aid}, ${delta} FROM generate_series(${first}, ${first + count - 1}) i;`;
  if (kind === 3) return { text: `${text} ROLLBACK`, movements: [] };
  return { text: `${text} COMMIT`, movements };
}

const rowsOf = async (url: string, text: string): Promise<string[]> =>
  withClient(url, SESSION, async (session) =>
    (await session.query<{ row: string }>(`SELECT t::text AS row FROM (${text}) t`)).rows.map(
      ({ row }) => row,
    ),
  );

/** Waits until both sides are equal, then says so by an expectation: what only one of them has. */
export async function equalBooks(monolithUrl: string, serviceUrl: string): Promise<void> {
  const difference = async (): Promise<{ missing: string[]; extra: string[] }> => {
    const mine = await rowsOf(
      monolithUrl,
      `SELECT 'account', aid::bigint, bal * 100, ver, md5(note) FROM acct UNION ALL SELECT 'movement', hid, aid, delta, NULL FROM hist`,
    );
    const theirs = await rowsOf(
      serviceUrl,
      `SELECT 'account', id::bigint, cents, version, md5(note) FROM account UNION ALL SELECT 'movement', id, account_id, amount, NULL FROM movement`,
    );
    const [here, there] = [new Set(mine), new Set(theirs)];
    return {
      missing: mine.filter((row) => !there.has(row)).slice(0, 10),
      extra: theirs.filter((row) => !here.has(row)).slice(0, 10),
    };
  };
  const isEqual = async (): Promise<boolean> => {
    const { missing, extra } = await difference();
    return missing.length + extra.length === 0;
  };
  await waitFor(isEqual, {
    timeoutMs: 60_000,
    everyMs: 200,
    what: 'both sides to be equal',
  }).catch(() => undefined);
  expect(await difference()).toEqual({ missing: [], extra: [] });
}

/** Everything acknowledged is there, and every movement and version had its effect at most once. */
export async function expectExactlyOnce(
  serviceUrl: string,
  acknowledged: ReadonlySet<number>,
): Promise<void> {
  await withClient(serviceUrl, SESSION, async (session) => {
    const movements = await session.query<{ id: string }>('SELECT id FROM movement');
    const there = new Set(movements.rows.map(({ id }) => Number(id)));
    expect([...acknowledged].filter((one) => !there.has(one))).toEqual([]);
    const wrong = await session.query(`
      SELECT l.account_id, l.total::text, l.entries::int, s.total::text AS should_be, s.entries::int AS entries_should_be
        FROM ledger l JOIN (SELECT a.id, coalesce(sum(m.amount), 0) AS total, count(m.id) AS entries
                              FROM account a LEFT JOIN movement m ON m.account_id = a.id GROUP BY a.id) s ON s.id = l.account_id
       WHERE l.total <> s.total OR l.entries <> s.entries`);
    expect(wrong.rows).toEqual([]);
    const again = await session.query(`
      SELECT id, version, before FROM (SELECT id, version, lag(version) OVER (PARTITION BY id ORDER BY n) AS before FROM versions) v
       WHERE version <= before`);
    expect(again.rows).toEqual([]);
  });
}
