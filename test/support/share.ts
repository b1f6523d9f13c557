// What the suites of one run share: made in the process of the run when the first suite asks for it, told
// to the others, and over with the run.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

type Makers = Readonly<Record<string, () => Promise<string>>>;

/** Answers `GET /name` with what the maker of that name gave; each is asked once. */
export async function share(makers: Makers): Promise<{ url: string; close(): Promise<void> }> {
  const made = new Map<string, Promise<string>>();
  const make = (name: string): Promise<string> => {
    const found = made.get(name) ?? makers[name]?.() ?? Promise.reject(new Error(`no ${name}`));
    made.set(name, found);
    return found;
  };
  const server = createServer((request, response) => {
    make((request.url ?? '').slice(1)).then(
      (what) => response.end(what),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.close();
      server.closeAllConnections();
      // One that is still being made ends with the rest.
      await Promise.allSettled(made.values());
    },
  };
}

/** Asks the run for it. */
export async function shared(name: string): Promise<string> {
  const response = await fetch(`${process.env['BANYAN_TEST_SHARED'] ?? ''}/${name}`);
  const answer = await response.text();
  if (!response.ok) throw new Error(answer);
  return answer;
}
