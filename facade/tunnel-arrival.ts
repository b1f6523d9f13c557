// A connection that asks for an upgrade, read like any request: what cannot be read is refused here, what
// no route claims goes on to whoever is next, and what asks for no protocol that a tunnel carries is served
// as an ordinary request.
import { ServerResponse, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { isIgnored } from './closing.ts';
import { refused } from './domain/target.ts';
import { tunnelProtocol } from './domain/upgrade.ts';
import { refusedProblem } from './problem.ts';
import { answerOn, serveWithoutUpgrade } from './raw-socket.ts';
import { readVisit, type Reading, type Visit } from './visit.ts';

/** An upgrade that is to be decided. */
export interface Arrival {
  readonly visit: Visit;
  readonly socket: Socket;
  readonly head: Buffer;
  readonly protocol: string;
}

/** What a server's `upgrade` event gives. */
interface Asking {
  readonly req: IncomingMessage;
  readonly given: Duplex;
  readonly head: Buffer;
  /** Takes what no route claims. */
  readonly next: (() => void) | undefined;
}

interface ArrivalOptions extends Reading {
  /** A request was refused before anything else was known of it; it took this long. */
  readonly refused: (status: number, ms: number) => void;
}

/** Reads them; gives undefined for one that is answered already, or somebody else's. */
export function arrivals(options: ArrivalOptions): (asking: Asking) => Arrival | undefined {
  return ({ req, given, head, next }) => {
    const startedAt = performance.now();
    // Of a plain or a TLS server; Node's types allow for more.
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment
    const socket = given as Socket;
    // Once, however often it is given back and comes again: some clients offer an upgrade with every request.
    socket.off('error', ignore).on('error', ignore);
    socket.setTimeout(0);
    if (isIgnored(req)) {
      // Nobody else reads on, and only so is the client's end noticed.
      socket.resume();
      return undefined;
    }
    const res = new ServerResponse(req);
    try {
      res.assignSocket(socket);
    } catch {
      // An answer to an earlier request is still due: what we wrote would be taken for it.
      socket.destroy();
      return undefined;
    }
    const visit = readVisit(req, res, startedAt, options);
    if (visit.kind === 'refused' || (req.headers.host ?? '') === '') {
      res.detachSocket(socket);
      const why = visit.kind === 'refused' ? visit : refused('the request names no host');
      answerOn(req, socket, refusedProblem(why));
      options.refused(400, performance.now() - startedAt);
      return undefined;
    }
    if (next && !options.routes.match(visit.takenMethod, visit.segments)) {
      res.detachSocket(socket);
      next();
      return undefined;
    }
    const { hasBody } = visit.head;
    const { httpVersion } = req;
    const { upgrade } = req.headers;
    const protocol = tunnelProtocol({ method: visit.method, upgrade, httpVersion, hasBody });
    if (protocol === undefined) {
      res.detachSocket(socket);
      serveWithoutUpgrade(req, socket, head);
      return undefined;
    }
    return { visit, socket, head, protocol };
  };
}

function ignore(): void {
  // The end of a connection is noticed by its `close`.
}
