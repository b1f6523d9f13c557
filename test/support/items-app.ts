// The small shop's applications on either side, as a team would have them: one insert, one update, one
// read; and clients that write only what is theirs, and remember what was acknowledged.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import pg from 'pg';
import { sleep } from '../../core/lifecycle.ts';
import { call, json, readAll, serve, type Reply, type TestServer } from './http.ts';

export interface ItemsTexts {
  readonly insert: string;
  readonly update: string;
  readonly read: string;
}

const TEXTS: Readonly<Record<'monolith' | 'service', ItemsTexts>> = {
  monolith: {
    insert: 'INSERT INTO item (tag) VALUES ($1) RETURNING id, n',
    update: 'UPDATE item SET n = n + 1 WHERE id = $1 RETURNING id, n',
    read: 'SELECT id, n FROM item WHERE id = $1',
  },
  service: {
    insert: 'INSERT INTO article (label) VALUES ($1) RETURNING id, count AS n',
    update: 'UPDATE article SET count = count + 1 WHERE id = $1 RETURNING id, count AS n',
    read: 'SELECT id, count AS n FROM article WHERE id = $1',
  },
};

export interface ItemsApp extends TestServer {
  /** What a database has refused. */
  readonly refusals: string[];
  /** Where `?back=` calls go. */
  back: string;
}

/**
 * POST inserts the body's tag, PUT counts up, GET reads. `POST ?back=1` makes a second insert through the
 * edge meanwhile, with the field of the call that it is in, once `mayCallBack` says so.
 */
export async function serveItems(
  side: 'monolith' | 'service',
  url: string,
  mayCallBack: () => Promise<unknown> = () => Promise.resolve(),
  texts = TEXTS[side],
): Promise<ItemsApp> {
  const pool = new pg.Pool({ connectionString: url, max: 8 });
  pool.on('error', () => undefined);
  const refusals: string[] = [];
  const run = async (text: string, value: string): Promise<unknown> =>
    (await pool.query<object>(text, [value])).rows[0];
  const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const body = (await readAll(req)).toString();
    const { pathname, searchParams } = new URL(req.url ?? '', 'http://x');
    const id = pathname.slice('/api/items/'.length);
    let row: unknown = {};
    if (req.method === 'POST') row = await run(texts.insert, body);
    else if (req.method === 'PUT') row = await run(texts.update, id);
    else if (id !== '') row = await run(texts.read, id);
    if (searchParams.has('back')) {
      await mayCallBack();
      const token = req.headers['x-banyan-call']?.toString();
      const reply = await call(`${app.back}/api/items`, {
        method: 'POST',
        body: `${body} back`,
        headers: token === undefined ? {} : { 'x-banyan-call': token },
      });
      row = { ...(row as object), back: reply.status };
    }
    json(row ?? {}, row === undefined ? 404 : 200)(req, res);
  };
  const server = await serve((req, res) => {
    answer(req, res).catch((error: unknown) => {
      refusals.push(String(error));
      json({ error: String(error) }, 500)(req, res);
    });
  }, createServer());
  const app: ItemsApp = {
    ...server,
    refusals,
    back: '',
    close: async () => {
      await server.close();
      await pool.end();
    },
  };
  return app;
}

const PAUSE_MS = 60;

export interface Account {
  readonly id: number;
  readonly tag: string;
  /** Updates that were acknowledged, and those that nobody knows of. */
  acknowledged: number;
  unknown: number;
}

export interface ItemsLoad {
  /** What went wrong, a line each; none are expected. */
  readonly wrong: string[];
  acknowledged(): number;
  /** Ends it; gives every item that was acknowledged. */
  stop(): Promise<Account[]>;
}

/** So many clients, each with its own cookies and items, through edges that may go away. */
export function itemsLoad(edges: () => readonly string[], count: number): ItemsLoad {
  const over = new AbortController();
  const wrong: string[] = [];
  const accounts: Account[] = [];
  let done = 0;

  const client = async (name: number): Promise<void> => {
    const jar = new Map<string, string>();
    let turn = name;
    /** Undefined where the edge went away: nobody knows what became of it. */
    const send = async (path: string, method = 'GET', body = ''): Promise<Reply | undefined> => {
      const all = edges();
      const edge = all[turn++ % all.length] ?? '';
      const cookie = [...jar].map(([key, value]) => `${key}=${value}`).join('; ');
      const reply = await call(`${edge}${path}`, { method, body, headers: { cookie } }).catch(
        () => undefined,
      );
      for (const line of reply?.headers['set-cookie'] ?? []) {
        const [pair = ''] = line.split(';', 1);
        jar.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
      }
      if (reply && reply.status >= 400)
        wrong.push(`${method} ${path}: ${reply.status} ${reply.body}`);
      return reply;
    };
    const settle = async (account: Account): Promise<void> => {
      const reply = await send(`/api/items/${account.id}`);
      if (!reply || reply.status !== 200) return;
      const { n } = JSON.parse(reply.body) as { n: number };
      if (n < account.acknowledged || n > account.acknowledged + account.unknown)
        wrong.push(`item ${account.id} shows ${n}, and its client had ${account.acknowledged}`);
    };
    for (let index = 0; !over.signal.aborted; index++) {
      // Another visitor: one who writes all the time stays on the side that he writes to.
      jar.clear();
      await send('/api/items');
      const tag = `c${name} ${index}`;
      const made = await send('/api/items', 'POST', tag);
      if (made?.status !== 200) {
        await sleep(PAUSE_MS);
        continue;
      }
      done += 1;
      const { id } = JSON.parse(made.body) as { id: string };
      const account = { id: Number(id), tag, acknowledged: 0, unknown: 0 };
      accounts.push(account);
      for (let round = 0; round < 3; round++) {
        const reply = await send(`/api/items/${account.id}`, 'PUT');
        if (!reply) account.unknown += 1;
        else if (reply.status === 200) {
          account.acknowledged += 1;
          done += 1;
        }
        await settle(account);
        await sleep(PAUSE_MS);
      }
    }
  };
  const running = Promise.all(Array.from({ length: count }, (_, name) => client(name)));
  return {
    wrong,
    acknowledged: () => done,
    stop: async () => {
      over.abort();
      await running;
      return accounts;
    },
  };
}
