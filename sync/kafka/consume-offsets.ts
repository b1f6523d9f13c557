// Where a flow goes on in each partition of its topics, kept in the target beside the checkpoint and
// moved with it by compare-and-swap: a consumer that was replaced cannot move them.
import type pg from 'pg';
import type { TopicPartition } from '../../core/kafka/client.ts';
import { formatLsn, parseLsn } from '../../core/postgres/lsn.ts';
import type { LogPlace } from '../domain/change.ts';

/** By `topic/partition`. */
export type Offsets = ReadonlyMap<string, LogPlace>;

/** A topic's name holds no slash. */
export function partitionName({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

export function partitionOf(name: string): TopicPartition {
  const slash = name.lastIndexOf('/');
  return { topic: name.slice(0, slash), partition: Number(name.slice(slash + 1)) };
}

export async function loadOffsets(client: pg.ClientBase, flow: string): Promise<Offsets> {
  const { rows } = await client.query<{
    topic: string;
    partition: number;
    next_offset: string;
    timeline: number;
    commit_lsn: string;
    seq: number;
    part: number;
    change_lsn: string | null;
    change_keys: string[] | null;
    originless: boolean;
    copied_lsn: string | null;
  }>(
    'SELECT topic, partition, next_offset, timeline, commit_lsn::text, seq, part, change_lsn::text, change_keys, originless, copied_lsn::text FROM banyan.log_offset WHERE flow = $1',
    [flow],
  );
  return new Map(
    rows.map((row) => [
      partitionName(row),
      {
        next: BigInt(row.next_offset),
        position: { timeline: row.timeline, commitLsn: parseLsn(row.commit_lsn), seq: row.seq },
        part: row.part,
        ...(row.change_lsn !== null && { lsn: parseLsn(row.change_lsn) }),
        ...(row.change_keys !== null && { keys: row.change_keys }),
        ...(row.originless && { originless: true }),
        ...(row.copied_lsn !== null && { copied: parseLsn(row.copied_lsn) }),
      },
    ]),
  );
}

const MOVE = `
  WITH given AS (SELECT * FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::int[], $7::pg_lsn[], $8::int[], $9::int[], $10::pg_lsn[], $11::boolean[], $12::jsonb[], $13::pg_lsn[])
                   AS g (topic, partition, before, next_offset, timeline, commit_lsn, seq, part, change_lsn, originless, change_keys, copied_lsn)),
       moved AS (UPDATE banyan.log_offset o
                    SET next_offset = g.next_offset, timeline = g.timeline, commit_lsn = g.commit_lsn, seq = g.seq, part = g.part,
                        change_lsn = g.change_lsn, originless = g.originless, change_keys = g.change_keys, copied_lsn = g.copied_lsn
                   FROM given g WHERE o.flow = $1 AND o.topic = g.topic AND o.partition = g.partition
                    AND o.next_offset = g.before RETURNING 1),
       made AS (INSERT INTO banyan.log_offset
                (flow, topic, partition, next_offset, timeline, commit_lsn, seq, part, change_lsn, originless, change_keys, copied_lsn)
                SELECT $1, topic, partition, next_offset, timeline, commit_lsn, seq, part, change_lsn, originless, change_keys, copied_lsn FROM given WHERE before IS NULL
                    ON CONFLICT DO NOTHING RETURNING 1)
  SELECT (SELECT count(*) FROM moved) + (SELECT count(*) FROM made) AS n`;

/** Moves those that differ; false when one is not where it was. */
export async function saveOffsets(
  client: pg.ClientBase,
  flow: string,
  before: Offsets,
  after: Offsets,
): Promise<boolean> {
  const moves = [...after].flatMap(([name, place]) => {
    const known = before.get(name);
    const isThere = known?.next === place.next && known.copied === place.copied;
    return isThere ? [] : [{ name, from: known?.next, place }];
  });
  if (moves.length === 0) return true;
  const { rows } = await client.query<{ n: string }>({
    name: 'banyan_log_offset',
    text: MOVE,
    values: [
      flow,
      moves.map(({ name }) => partitionOf(name).topic),
      moves.map(({ name }) => partitionOf(name).partition),
      moves.map(({ from }) => from ?? null),
      moves.map(({ place }) => place.next),
      moves.map(({ place }) => place.position.timeline),
      moves.map(({ place }) => formatLsn(place.position.commitLsn)),
      moves.map(({ place }) => place.position.seq),
      moves.map(({ place }) => place.part),
      moves.map(({ place: { lsn } }) => (lsn === undefined ? null : formatLsn(lsn))),
      moves.map(({ place }) => place.originless ?? false),
      moves.map(({ place: { keys } }) => (keys === undefined ? null : JSON.stringify(keys))),
      moves.map(({ place: { copied } }) => (copied === undefined ? null : formatLsn(copied))),
    ],
  });
  return Number(rows[0]?.n) === moves.length;
}
