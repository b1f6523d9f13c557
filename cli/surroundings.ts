// What a migration needs besides the mapped databases: whether the control database takes our schema, and
// whether anything answers at the upstreams. Looks only, changes nothing.
import { connect as dial } from 'node:net';
import { isBanyanError, messageOf } from '../core/errors.ts';
import { rawRows, withClient } from '../core/postgres/connect.ts';
import type { Connections } from '../control/connections.ts';
import { controlRights } from '../control/store.ts';
import type { Finding } from '../sync/index.ts';

const ANSWER_MS = 2_000;

/** Undefined stands for a control database that `banyan up` brings. */
export async function checkSurroundings(
  connections: Pick<Connections, 'monolith' | 'services'>,
  controlUrl: string | undefined,
): Promise<Finding[]> {
  const upstreams = [
    ['monolith', connections.monolith.upstream],
    ...Object.entries(connections.services).map(([name, one]) => [`service ${name}`, one.upstream]),
  ] as const;
  const looks = [
    ...(controlUrl === undefined ? [] : [checkControl(controlUrl)]),
    ...upstreams.map(([where = '', url = '']) => checkUpstream(where, url)),
  ];
  return (await Promise.all(looks)).filter((one) => one !== undefined);
}

/** Its schema is there and open to the role, or the role may make it. */
const MAY = `SELECT CASE WHEN to_regnamespace('banyan') IS NULL THEN has_database_privilege(current_database(), 'CREATE')
  ELSE has_schema_privilege('banyan', 'USAGE') END`;

async function checkControl(url: string): Promise<Finding | undefined> {
  const at = { severity: 'error', where: 'control database' } as const;
  try {
    const [row] = await withClient(url, { applicationName: 'banyan-preflight' }, (client) =>
      rawRows(client, MAY),
    );
    if (row?.[0] === 't') return undefined;
    return { ...at, what: 'its role may not make the schema banyan', hint: controlRights(url) };
  } catch (error) {
    if (!isBanyanError(error, 'DATABASE_UNREACHABLE')) throw error;
    return { ...at, what: error.message, hint: error.hint ?? '' };
  }
}

/** That something listens is asked, and no more: what it serves is the team's. */
async function checkUpstream(where: string, url: string): Promise<Finding | undefined> {
  const { hostname, port, protocol, origin } = new URL(url);
  const why = await new Promise<string | undefined>((resolve) => {
    const socket = dial({
      // An IPv6 address is in brackets in a URL, and nowhere else.
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || (protocol === 'https:' ? 443 : 80)),
      timeout: ANSWER_MS,
    });
    const over = (reason?: string): void => {
      socket.destroy();
      resolve(reason);
    };
    socket.once('connect', () => {
      over();
    });
    socket.once('timeout', () => {
      over(`no answer within ${ANSWER_MS} ms`);
    });
    socket.on('error', (error) => {
      over(messageOf(error));
    });
  });
  if (why === undefined) return undefined;
  return {
    ...{ severity: 'warning', where },
    what: `nothing answers at its upstream ${origin}: ${why}`,
    hint: 'Start it before any traffic goes there, or correct its address.',
  };
}
