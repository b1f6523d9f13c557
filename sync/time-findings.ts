// What it takes that the last writer wins: the owner's server keeps the times of commits, and the clocks of
// both servers are in step.
import { rawRows, withClient } from '../core/postgres/connect.ts';
import type { Logins } from '../control/connections.ts';
import { apartMs, type ClockReading } from './domain/clocks.ts';
import type { Finding } from './domain/finding.ts';

const SESSION = { applicationName: 'banyan-preflight' };
/** Clocks that are less apart than this are in step. */
const IN_STEP_MS = 50;

/** What the last writer to win needs at the owner. */
export async function checkTimes(where: string, { applier }: Logins): Promise<Finding[]> {
  const [kept] = await withClient(applier, SESSION, (client) =>
    rawRows(client, 'SHOW track_commit_timestamp'),
  );
  if (kept?.[0] === 'on') return [];
  return [
    {
      ...{ severity: 'error', where },
      what: "canary.conflicts 'last-writer-wins': the monolith's server keeps no commit times",
      hint: 'Set track_commit_timestamp = on in postgresql.conf and restart the server.',
    },
  ];
}

/** Who wrote last is told by the clocks of both servers. */
export async function checkClocks(
  name: string,
  monolith: Logins,
  service: Logins,
): Promise<Finding[]> {
  const apart = Math.round(apartMs(await readClock(monolith), await readClock(service)));
  if (Math.abs(apart) < IN_STEP_MS) return [];
  return [
    {
      ...{ severity: 'warning', where: `service ${name}` },
      what: `canary.conflicts 'last-writer-wins': the monolith's server is ${Math.abs(apart)} ms ${apart > 0 ? 'ahead of' : 'behind'} the service's, and who wrote last is told by their clocks`,
      hint: 'Keep both servers in step (chrony, or another NTP client): whoever is ahead wins what it should lose.',
    },
  ];
}

function readClock({ applier }: Logins): Promise<ClockReading> {
  return withClient(applier, SESSION, async (client) => {
    const beforeMs = Date.now();
    const [now] = await rawRows(client, 'SELECT extract(epoch FROM clock_timestamp()) * 1000');
    return { beforeMs, serverMs: Number(now?.[0]), afterMs: Date.now() };
  });
}
