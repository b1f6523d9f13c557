// Each database writes down when it was opened and closed to its own clients, each of their writes, and each
// that arrives from the other side; with the commit times of one machine's clock, both histories together
// tell whether there was one owner at every moment, and whether it had everything before it opened.
import type pg from 'pg';
import { withClient } from '../../../core/postgres/connect.ts';
import type { Owner } from '../../../control/domain/phase.ts';
import { SESSION } from '../pair.ts';

const TABLES: Readonly<Record<Owner, string>> = { monolith: 'item', service: 'thing' };

/** From now on both are written down; for a superuser. */
export async function keepHistory(client: pg.Client, side: Owner): Promise<void> {
  await client.query(`
    CREATE TABLE public.history (n bigserial, what text NOT NULL, xid xid8 NOT NULL DEFAULT pg_current_xact_id());
    CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
      IF TG_ARGV[0] <> 'ownership' THEN INSERT INTO public.history (what) VALUES (TG_ARGV[0]);
      ELSE INSERT INTO public.history (what) VALUES (CASE WHEN NEW.owns THEN 'opens' ELSE 'closes' END);
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER UPDATE ON banyan.ownership FOR EACH ROW WHEN (OLD.owns <> NEW.owns) EXECUTE FUNCTION public.note('ownership');
    CREATE TRIGGER note AFTER INSERT ON ${TABLES[side]} FOR EACH ROW WHEN (session_user LIKE '%\\_app') EXECUTE FUNCTION public.note('write');
    CREATE TRIGGER note_arrival AFTER INSERT ON ${TABLES[side]} FOR EACH ROW WHEN (session_user LIKE '%\\_applier') EXECUTE FUNCTION public.note('arrives')`);
}

interface Event {
  readonly side: Owner;
  readonly what: 'opens' | 'closes' | 'write' | 'arrives';
  /** Commit time, microseconds. */
  readonly at: number;
}

export interface Verdict {
  readonly writes: Readonly<Record<Owner, number>>;
  readonly moves: number;
  /** What there may be none of. */
  readonly wrong: readonly string[];
}

/** Reads both histories, from when the monolith owned. */
export async function oneOwner(urls: Readonly<Record<Owner, string>>): Promise<Verdict> {
  const events = [
    ...(await read('monolith', urls.monolith)),
    ...(await read('service', urls.service)),
  ];
  events.sort((a, b) => a.at - b.at);
  const open = { monolith: true, service: false };
  const writes = { monolith: 0, service: 0 };
  const wrong: string[] = [];
  let moves = 0;
  for (const { side, what, at } of events) {
    if (what === 'write') {
      writes[side] += 1;
      if (!open[side]) wrong.push(`a write at the ${side}, which was closed, at ${at}`);
      continue;
    }
    if (what === 'arrives') {
      // Whoever owns had it all before: what comes later was missing there.
      if (open[side]) wrong.push(`a write arrived at the ${side}, which was open, at ${at}`);
      continue;
    }
    open[side] = what === 'opens';
    moves += 1;
    if (open.monolith && open.service) wrong.push(`both sides were open at ${at}`);
  }
  return { writes, moves, wrong };
}

async function read(side: Owner, url: string): Promise<Event[]> {
  return withClient(url, SESSION, async (client) => {
    const { rows } = await client.query<{ what: Event['what']; at: string }>(
      `SELECT what, (extract(epoch FROM pg_xact_commit_timestamp(xid::xid)) * 1e6)::bigint::text AS at FROM public.history ORDER BY n`,
    );
    return rows.map(({ what, at }) => ({ side, what, at: Number(at) }));
  });
}
