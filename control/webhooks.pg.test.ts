import { createHmac } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import type { Knex } from 'knex';
import { waitFor } from '../core/lifecycle.ts';
import { createLogger } from '../core/log.ts';
import { json, serve, type TestServer } from '../test/support/http.ts';
import { createControl, type TestDatabase } from '../test/support/postgres.ts';
import { RolloutStore, type RolloutRow } from './rollout-store.ts';
import { openControl, StateStore } from './store.ts';
import { outstanding } from './webhook-queue.ts';
import { signatureOf, WebhookSender, type Webhook, type WebhookOptions } from './webhooks.ts';

let database: TestDatabase;
let control: Knex;
let rollouts: RolloutStore;
let row: RolloutRow;
const servers: TestServer[] = [];
let hooks: Webhook[];

beforeEach(async () => {
  database = await createControl();
  control = openControl(database.url);
  rollouts = new RolloutStore(control, () => servers.map(({ url }) => url));
});

afterEach(async () => {
  for (const one of servers.splice(0)) await one.close();
  await control.destroy();
  await database.drop();
});

/** A webhook each, told of the begin of a rollout. */
async function senderTo(...listeners: RequestListener[]): Promise<WebhookSender> {
  return senderWith({}, ...listeners);
}

async function senderWith(
  more: Partial<WebhookOptions>,
  ...listeners: RequestListener[]
): Promise<WebhookSender> {
  for (const one of listeners) servers.push(await serve(one));
  const who = { who: 'test', why: 'because' };
  await rollouts.begin(await new StateStore(control).readOne('catalog'), who);
  row = (await rollouts.read('catalog')) as RolloutRow;
  hooks = hooksTo(servers);
  const log = createLogger({}, 'silent');
  return new WebhookSender({ db: control, hooks: () => hooks, log, ...more });
}

/** One that never answers is waited for as long as any of these tests takes. */
const PATIENT = { timeoutMs: 600_000 };

/** Whatever waits is due now. */
async function hurry(): Promise<void> {
  await control('banyan.webhook_delivery').update({ next_at: '-infinity' });
}

const hooksTo = (all: readonly TestServer[]): Webhook[] =>
  all.map(({ url }) => ({ name: url, url, secret: () => 'only we know' }));

/** What is due now, to each webhook. */
async function deliver(sender: WebhookSender, signal = AbortSignal.timeout(30_000)): Promise<void> {
  await Promise.all(hooks.map((hook) => sender.deliver('catalog', hook, signal)));
}

test('an event says what happened, to whom, and is signed together with its time', async () => {
  const got: { headers: Record<string, unknown>; body: string }[] = [];
  const sender = await senderTo((req, res) => {
    let body = '';
    req.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    req.on('end', () => {
      got.push({ headers: req.headers, body });
      res.end();
    });
  });
  await deliver(sender);
  expect(JSON.parse(got[0]?.body ?? '')).toMatchObject({
    ...{ event: 'rollout started', capability: 'catalog', phase: 'monolith', who: 'test' },
    ...{ why: 'because', id: got[0]?.headers['banyan-delivery'] },
  });
  const given = String(got[0]?.headers['banyan-signature']);
  const [, seconds = ''] = /^t=(\d+),/.exec(given) ?? [];
  const mac = createHmac('sha256', 'only we know').update(`${seconds}.${got[0]?.body ?? ''}`);
  expect(given).toBe(`t=${seconds},v1=${mac.digest('hex')}`);
  expect(signatureOf('{}', 'one', 1)).not.toBe(signatureOf('{}', 'another', 1));
  expect(Math.abs(Number(seconds) - Date.now() / 1_000)).toBeLessThan(60);
  await deliver(sender);
  expect(got).toHaveLength(1);
});

test('what is refused is told again, later each time, and is the same event', async () => {
  const ids: unknown[] = [];
  const sender = await senderTo((req, res) => {
    ids.push(req.headers['banyan-delivery']);
    json({}, ids.length < 3 ? 503 : 200)(req, res);
  });
  await deliver(sender);
  const now = async (): Promise<string> =>
    String(
      (await control.raw<{ rows: { t: string }[] }>('SELECT clock_timestamp()::text AS t')).rows[0]
        ?.t,
    );
  const pauseS = async (since: string): Promise<number> => {
    const { rows } = await control.raw<{ rows: { s: string }[] }>(
      'SELECT extract(epoch FROM next_at - ?::timestamptz) AS s FROM banyan.webhook_delivery',
      [since],
    );
    return Number(rows[0]?.s);
  };
  const first = await pauseS(await now());
  expect(first).toBeLessThan(1.1);
  // Not due yet.
  await control('banyan.webhook_delivery').update({
    next_at: control.raw("clock_timestamp() + interval '1 min'"),
  });
  await deliver(sender);
  expect(ids).toHaveLength(1);
  expect(await outstanding(control, 'catalog')).toEqual({
    ...{ waiting: 1, givenUp: 0, error: 'answered 503' },
  });
  await hurry();
  const before = await now();
  await deliver(sender);
  expect(await pauseS(before)).toBeGreaterThan(first);
  await hurry();
  await deliver(sender);
  expect(ids).toHaveLength(3);
  expect(new Set(ids).size).toBe(1);
  expect(await outstanding(control, 'catalog')).toMatchObject({ waiting: 0 });
});

test('one that never answers keeps neither another webhook nor the rollout waiting', async () => {
  let told = 0;
  const sender = await senderWith(
    PATIENT,
    (req) => req.resume(),
    (req, res) => {
      told += 1;
      json({})(req, res);
    },
  );
  const over = new AbortController();
  const delivering = deliver(sender, over.signal);
  await waitFor(() => told === 1, { timeoutMs: 30_000, what: 'the other webhook to be told' });
  const event = { event: 'rollout red', who: 'test', why: 'red' };
  expect(await rollouts.change(row, { status: 'rolling back' }, event)).toBe(true);
  await waitFor(async () => (await outstanding(control, 'catalog')).waiting === 3, {
    ...{ timeoutMs: 30_000, what: 'the other webhook to have been told' },
  });
  expect(told).toBe(1);
  over.abort();
  await delivering;
});

test('beside one that never answers, a webhook is told of each event as it comes', async () => {
  let told = 0;
  const sender = await senderWith(
    PATIENT,
    (req) => req.resume(),
    (req, res) => {
      told += 1;
      json({})(req, res);
    },
  );
  const over = new AbortController();
  const running = sender.run('catalog', over.signal);
  try {
    for (let n = 1; n <= 3; n++) {
      await waitFor(() => told === n, { timeoutMs: 30_000, what: `event ${n}` });
      await rollouts.tell(row, { event: 'rollout step', who: 'test', why: `${n}` });
    }
    // Nothing of what the other is due has been answered, nor given up.
    expect(await outstanding(control, 'catalog', servers[0]?.url)).toEqual({
      ...{ waiting: 4, givenUp: 0, error: null },
    });
  } finally {
    over.abort();
    await running;
  }
});

test('what a dead one has yet to be told is claimed no longer than it can be tried', async () => {
  const sender = await senderTo((req) => req.resume());
  for (let n = 0; n < 30; n++)
    await rollouts.tell(row, { event: 'rollout step', who: 'test', why: `${n}` });
  const over = new AbortController();
  const delivering = deliver(sender, over.signal);
  const claimed = async (): Promise<number | false> => {
    const { rows } = await control.raw<{ rows: { n: string }[] }>(
      `SELECT count(*) AS n FROM banyan.webhook_delivery WHERE next_at > clock_timestamp() + interval '5 s'`,
    );
    return Number(rows[0]?.n) || false;
  };
  const first = await waitFor(claimed, { timeoutMs: 30_000, what: 'a claim' });
  over.abort();
  await delivering;
  expect(first * 5_000).toBeLessThan(30_000);
});

test('what is due to a webhook that is not there any more is given up after a day', async () => {
  const sender = await senderTo(json({}));
  await control('banyan.webhook_delivery').update({ hook: 'another' });
  await sender.tidy('catalog');
  expect(await outstanding(control, 'catalog')).toMatchObject({ waiting: 1, givenUp: 0 });
  await control.raw(`UPDATE banyan.webhook_delivery SET next_at = now() - interval '25 hours'`);
  await sender.tidy('catalog');
  expect(await outstanding(control, 'catalog')).toMatchObject({ waiting: 0, givenUp: 1 });
});

test('what was told long ago is forgotten, and what is still due is not', async () => {
  const sender = await senderTo(json({}));
  await deliver(sender);
  await rollouts.tell(row, { event: 'rollout step', who: 'test', why: '' });
  await control.raw(`UPDATE banyan.webhook_delivery SET next_at = now() - interval '31 days'`);
  await sender.tidy('catalog');
  expect(await control('banyan.webhook_delivery').count()).toEqual([{ count: '1' }]);
  expect(await outstanding(control, 'catalog')).toMatchObject({ waiting: 1 });
});

test('a webhook keeps its deliveries when another is named before it', async () => {
  const sender = await senderTo(json({}, 503));
  const [first] = servers;
  await deliver(sender);
  let told = 0;
  servers.unshift(
    await serve((req, res) => {
      told += 1;
      json({})(req, res);
    }),
  );
  hooks = hooksTo(servers);
  const log = createLogger({}, 'silent');
  await hurry();
  await deliver(new WebhookSender({ db: control, hooks: () => hooks, log }));
  expect(told).toBe(0);
  expect(await control('banyan.webhook_delivery').select('hook', 'attempts')).toEqual([
    { hook: first?.url, attempts: 2 },
  ]);
});

test('a redirect is not followed, and after so many attempts it is given up', async () => {
  let asked = 0;
  const sender = await senderTo((req, res) => {
    asked += 1;
    req.resume();
    res.writeHead(307, { location: `http://127.0.0.1:${servers[0]?.port}/elsewhere` }).end();
  });
  await deliver(sender);
  expect(asked).toBe(1);
  await control('banyan.webhook_delivery').update({ attempts: 149, next_at: '-infinity' });
  await deliver(sender);
  expect(await outstanding(control, 'catalog')).toMatchObject({ waiting: 0, givenUp: 1 });
});

test('two senders tell each event once', async () => {
  let asked = 0;
  const sender = await senderTo((req, res) => {
    asked += 1;
    json({})(req, res);
  });
  for (let n = 0; n < 30; n++)
    await rollouts.tell(row, { event: `rollout step`, who: 'test', why: `${n}` });
  await Promise.all([1, 2, 3, 4].map(() => sender.flush('catalog', 10_000)));
  expect(asked).toBe(31);
});
