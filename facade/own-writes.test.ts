import { createSecretKey } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { serveEdge, type TestEdge } from '../test/support/edge.ts';
import { call, serve, serveSide, type Reply } from '../test/support/http.ts';
import { createOwnWrites } from './own-writes.ts';
import { formatMoments, parseMoments } from './domain/wrote.ts';

const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

interface Scene {
  readonly edge: TestEdge;
  /** The control database's clock, and how far the flow to the service has come. */
  readonly clock: { now: number; watermark: number | undefined };
}

async function scene(): Promise<Scene> {
  const monolith = await serveSide('monolith');
  const service = await serveSide('service');
  const clock: Scene['clock'] = { now: 1_000, watermark: 900 };
  const edge = await serveEdge({
    monolith: monolith.url,
    service: service.url,
    tables: true,
    freshness: { now: () => clock.now, watermark: () => clock.watermark },
  });
  open.push(monolith, service, edge);
  edge.set({ phase: 'canary', weight: 100 });
  return { edge, clock };
}

const write = (edge: TestEdge, headers = {}): Promise<Reply> =>
  call(`${edge.url}/api/products`, { method: 'POST', headers, body: 'w' });

async function readBy(edge: TestEdge, headers = {}): Promise<string> {
  const { body } = await call(`${edge.url}/api/products`, { headers });
  return (JSON.parse(body) as { by: string }).by;
}

/** What a browser would send back. */
function cookieOf(reply: Reply): string {
  const set = reply.headers['set-cookie']?.find((line) => line.startsWith('banyan_wrote_catalog='));
  return set?.split(';', 1)[0] ?? '';
}

const noteOf = (reply: Reply): string => reply.headers['x-banyan-wrote']?.toString() ?? '';

describe('read your writes', () => {
  test('who has written reads at the owner until the watermark has passed the moment of the write', async () => {
    const { edge, clock } = await scene();
    expect(await readBy(edge)).toBe('service');
    const cookie = cookieOf(await write(edge));
    expect(cookie).not.toBe('');
    expect(await readBy(edge, { cookie })).toBe('monolith');
    expect(await readBy(edge)).toBe('service');
    clock.watermark = 1_000;
    expect(await readBy(edge, { cookie })).toBe('monolith');
    clock.watermark = 1_001;
    expect(await readBy(edge, { cookie })).toBe('service');
  });

  test('a client without cookies sends the field back', async () => {
    const { edge } = await scene();
    const note = noteOf(await write(edge));
    expect(await readBy(edge, { 'x-banyan-wrote': note })).toBe('monolith');
  });

  test('another replica honours it', async () => {
    const one = await scene();
    const other = await scene();
    const cookie = cookieOf(await write(one.edge));
    expect(await readBy(other.edge, { cookie })).toBe('monolith');
  });

  test('an unknown watermark counts as behind', async () => {
    const { edge, clock } = await scene();
    const cookie = cookieOf(await write(edge));
    clock.watermark = undefined;
    expect(await readBy(edge, { cookie })).toBe('monolith');
  });

  test('a forged or garbled note says nothing', async () => {
    const { edge } = await scene();
    const note = noteOf(await write(edge));
    const forged = note.replace(/^catalog:[^.]*/, `catalog:${(9e14).toString(36)}`);
    for (const bad of [
      forged,
      note.slice(0, -1),
      `${note}A`,
      '',
      '.',
      'catalog:zz',
      'x'.repeat(9_000),
    ])
      expect(await readBy(edge, { 'x-banyan-wrote': bad })).toBe('service');
  });

  test('writes of several capabilities take no notice of each other, also at the same time', () => {
    const key = createSecretKey(Buffer.alloc(32, 'key'));
    const ownWrites = createOwnWrites({ now: () => 1_000, watermark: () => 900 }, () => key);
    const asked = (headers: Record<string, string>): IncomingMessage =>
      ({ headers }) as unknown as IncomingMessage;
    const answers = [
      ownWrites.note(asked({}), 'catalog', 'monolith'),
      ownWrites.note(asked({}), 'orders', 'monolith'),
      ownWrites.note(asked({}), 'orders', 'service'),
    ];
    const jar = new Map(
      answers.map(([, cookie = '']) => cookie.split(';', 1)[0]?.split('=') as [string, string]),
    );
    const cookie = [...jar].map((pair) => pair.join('=')).join('; ');
    const fields = ownWrites.note(
      asked({ 'x-banyan-wrote': answers[0]?.[3] ?? '' }),
      'orders',
      'monolith',
    );
    for (const headers of [{ cookie }, { 'x-banyan-wrote': fields[3] ?? '' }])
      for (const [capability, awaits] of [
        ['catalog', true],
        ['orders', true],
        ['stock', false],
      ] as const)
        expect([capability, ownWrites.awaits(asked(headers), capability, 'to')]).toEqual([
          capability,
          awaits,
        ]);
    expect(ownWrites.awaits(asked({ cookie }), 'orders', 'back')).toBe(true);
    expect(ownWrites.awaits(asked({ cookie }), 'catalog', 'back')).toBe(false);
  });

  test('a write of which nobody knows how it ended is noted as well, one that was never sent is not', async () => {
    const silent = await serve(() => undefined);
    const edge = await serveEdge({
      monolith: silent.url,
      tables: true,
      facade: { timeoutMs: 100, bulkhead: { route: 1 } },
      freshness: { now: () => 1_000, watermark: () => 900 },
    });
    open.push(silent, edge);
    edge.set({ phase: 'canary', weight: 100 });
    const replies = await Promise.all([write(edge), write(edge)]);
    const noted = replies.map((reply) => [reply.status, noteOf(reply) !== ''] as const);
    expect(noted.sort()).toEqual([
      [503, false],
      [504, true],
    ]);
  });

  test('a later write moves the moment of its capability', async () => {
    const { edge, clock } = await scene();
    const first = noteOf(await write(edge));
    clock.now = 2_000;
    const second = noteOf(await write(edge, { 'x-banyan-wrote': first }));
    clock.watermark = 1_500;
    expect(await readBy(edge, { 'x-banyan-wrote': first })).toBe('service');
    expect(await readBy(edge, { 'x-banyan-wrote': second })).toBe('monolith');
  });

  test('in phases with one side only, answers carry no note', async () => {
    const { edge } = await scene();
    for (const phase of ['monolith', 'sync', 'retired'] as const) {
      edge.set({ phase });
      expect(noteOf(await write(edge))).toBe('');
    }
    for (const phase of ['shadow', 'canary', 'cutover'] as const) {
      edge.set({ phase });
      expect(noteOf(await write(edge))).not.toBe('');
    }
  });
});

test('moments survive being written down', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,30}$/);
  const sign = (text: string): string => Buffer.from(text).toString('base64url');
  fc.assert(
    fc.property(fc.dictionary(name, fc.nat()), (moments) => {
      const given = new Map(Object.entries(moments).slice(0, 20));
      const token = formatMoments(given, sign);
      const read = parseMoments(token, (text, signature) => sign(text) === signature);
      expect(read).toEqual(token.length <= 4_096 ? given : new Map());
    }),
  );
});
