// Plays one case: sends it, waits until its fate is clear, and tells what became of it in the words of
// the case.
import { wire, eventually, type Wire } from '../support/http.ts';
import { valuesOf, type Received, type Recorder } from '../support/recorder.ts';
import { get, type Case, type Then } from './case.ts';
import type { WireEdge } from './wire-edge.ts';

export interface Played {
  readonly arrived: readonly string[];
  readonly strays: readonly string[];
  readonly then: Then;
}

// The next request on the same connection: it tells whether both ends agree on where it begins.
const NEXT = get('/next', 'Connection: close');
const NEXT_ARRIVED = 'GET /next @shop';

/** Sends a case to the edge on a connection of its own. */
export async function play(edge: WireEdge, one: Case): Promise<Played> {
  const client = await wire(edge.port);
  client.send(one.send);
  const waits = one.then === 'waits';
  const due = one.arrives.length + (typeof one.then === 'object' ? 1 : 0);
  if (waits) await eventually('it to be read', () => edge.inFlight() > 0 || client.socket.closed);
  else
    await eventually(
      `an end to ${one.name}`,
      () => client.socket.closed || answersOf(client).length >= due,
    );
  const stillWaits = waits && !client.socket.closed && answersOf(client).length === 0;
  if (one.then === 'in-step' && !client.socket.closed) {
    client.send(NEXT);
    await client.untilClosed();
  } else if (waits) client.socket.destroy();
  else await client.untilClosed();
  await eventually('the edge to be done', () => edge.inFlight() === 0);
  const all = arrivedAt(edge);
  const inStep = one.then === 'in-step' && all.includes(NEXT_ARRIVED);
  return {
    arrived: inStep ? all.filter((line) => line !== NEXT_ARRIVED) : all,
    strays: [...edge.monolith.strays(), ...edge.service.strays()],
    then: stillWaits ? 'waits' : inStep ? 'in-step' : fateOf(client, one),
  };
}

function fateOf(client: Wire, one: Case): Then {
  const own = answersOf(client).filter((status) => status !== 200);
  if (own.length === 0) return 'closed';
  const status = own.at(-1) ?? 0;
  return typeof one.then === 'object' && 'broken' in one.then
    ? { broken: status }
    : { refused: status };
}

/** Statuses of the final answers so far. */
function answersOf(client: Wire): number[] {
  return [...client.received().matchAll(/HTTP\/1\.1 ([2-5]\d\d) /g)].map((match) =>
    Number(match[1]),
  );
}

function arrivedAt({ monolith, service }: WireEdge): string[] {
  return [
    ...monolith.received().map((one) => describe(one, monolith)),
    ...service.received().map((one) => `service ${describe(one, service)}`),
  ];
}

/** `METHOD target @host "body"`. */
export function describe(one: Received, at: Recorder): string {
  const [host = ''] = valuesOf(one.fields, 'host');
  const line = `${one.method} ${one.target} @${host === at.authority ? '-' : host}`;
  return one.body === '' ? line : `${line} "${one.body}"`;
}
