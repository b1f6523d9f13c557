// What a long tail is made of: sessions of the applications that have stood at one statement for a second, by what
// they waited for and behind whom; and for how long this process itself stood still, as all of a busy machine does.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { connect } from '../core/postgres/connect.ts';
import { sleep } from '../core/lifecycle.ts';

export interface Standing {
  /** `12 × monolith: IO WALSync`. */
  readonly sessions: readonly string[];
  /** The longest time in which this process did nothing. */
  readonly selfMs: number;
}

const LOOK_MS = 500;

/** Looks at these databases until what it gives is called. */
export function watchStanding(urls: Readonly<Record<string, string>>): () => Promise<Standing> {
  const seen = new Map<string, number>();
  const over = new AbortController();
  const loop = monitorEventLoopDelay({ resolution: 10 });
  loop.enable();
  const look = async (side: string, url: string): Promise<void> => {
    const client = await connect(url, { applicationName: 'banyan-bench' });
    while (!over.signal.aborted) {
      const { rows } = await client.query<{ waits: string; behind: string | null }>(STANDING);
      for (const { waits, behind } of rows) {
        const line = `${side}: ${waits}${behind === null ? '' : ` behind ${behind}`}`;
        seen.set(line, (seen.get(line) ?? 0) + 1);
      }
      await sleep(LOOK_MS, over.signal);
    }
    await client.end();
  };
  // Where the benchmark fails, that is told by itself.
  const watching = Object.entries(urls).map(([side, url]) =>
    look(side, url).catch(() => undefined),
  );
  return async () => {
    over.abort();
    await Promise.all(watching);
    loop.disable();
    return {
      sessions: [...seen].map(([line, times]) => `${times} × ${line}`),
      selfMs: Math.round(loop.max / 1e6),
    };
  };
}

const STANDING = `
  SELECT coalesce(a.wait_event_type || ' ' || a.wait_event, 'nothing') AS waits,
         (SELECT string_agg(format('%s, %s: %s', b.application_name, b.state, left(b.query, 60)), '; ')
            FROM pg_stat_activity b WHERE b.pid = ANY (pg_blocking_pids(a.pid))) AS behind
    FROM pg_stat_activity a
   WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.state = 'active'
     AND a.application_name NOT LIKE 'banyan%' AND a.query_start < clock_timestamp() - interval '1 s'`;
