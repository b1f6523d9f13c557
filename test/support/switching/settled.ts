// What has become of the writes of a world that has come to rest: each in both databases, once.
import { waitFor } from '../../../core/lifecycle.ts';
import { withClient } from '../../../core/postgres/connect.ts';
import type { Owner } from '../../../control/domain/phase.ts';
import { SESSION } from '../pair.ts';
import { oneOwner, type Verdict } from './history.ts';

export interface Settled {
  readonly acknowledged: number;
  readonly lost: number;
  readonly doubled: number;
  /** Each lost and doubled write, and whatever else is not as it should be. */
  readonly faults: readonly string[];
  readonly history: Verdict;
}

/** Waits until both sides are equal, and looks the acknowledged writes up in both. */
export async function settled(
  urls: Readonly<Record<Owner, string>>,
  acknowledged: readonly number[],
): Promise<Settled> {
  const look = async () => ({
    monolith: await contents(urls.monolith, 'bal FROM acct', 'item'),
    service: await contents(urls.service, 'balance FROM account', 'thing'),
  });
  const isEqual = async (): Promise<boolean> => {
    const { monolith, service } = await look();
    return JSON.stringify(monolith) === JSON.stringify(service);
  };
  await waitFor(isEqual, {
    ...{ timeoutMs: 90_000, everyMs: 200, what: 'both sides to be equal' },
  }).catch(() => undefined);
  const sides = await look();
  const lost = Object.entries(sides).flatMap(([side, { ids }]) => {
    const there = new Set(ids);
    return acknowledged.filter((id) => !there.has(id)).map((id) => `${side}: ${id}`);
  });
  const doubled = Object.entries(sides).flatMap(([side, { ids, sum }]) =>
    ids.length === sum ? [] : [`${side}: ${ids.length} writes moved ${sum}`],
  );
  const { monolith, service } = sides;
  const isSame = JSON.stringify(monolith) === JSON.stringify(service);
  return {
    acknowledged: acknowledged.length,
    faults: [...lost, ...doubled, ...(isSame ? [] : ['the two sides differ'])],
    ...{ lost: lost.length, doubled: doubled.length },
    history: await oneOwner(urls),
  };
}

async function contents(
  url: string,
  balance: string,
  items: string,
): Promise<{ sum: number; ids: readonly number[] }> {
  return withClient(url, SESSION, async (client) => {
    const { rows } = await client.query<{ sum: number; ids: number[] | null }>(
      `SELECT (SELECT sum(b)::int FROM (SELECT ${balance}) AS t(b)) AS sum, (SELECT array_agg(id::int ORDER BY id) FROM ${items}) AS ids`,
    );
    return { sum: rows[0]?.sum ?? 0, ids: rows[0]?.ids ?? [] };
  });
}
