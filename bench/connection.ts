// One connection of a load generator, as cheap as it can be: raw bytes out, answers with a
// Content-Length in, one request in flight. It is kept alive unless the answer says that it closes;
// then a new one is opened for the next request. An answer of the same length as the last one is
// taken for whole, and for one of its kind, without being parsed again.
import { connect, type Socket } from 'node:net';

export interface Listener {
  /** A whole answer has come. */
  answered(status: string): void;
  /** The request in flight will not be answered. */
  lost(error: Error): void;
}

interface Kind {
  readonly length: number;
  readonly closes: boolean;
}

export class Connection {
  readonly #base: URL;
  readonly #listener: Listener;
  #socket: Socket | undefined;
  #pending: Buffer | undefined;
  #usual: Kind = { length: -1, closes: false };

  constructor(base: URL, listener: Listener) {
    this.#base = base;
    this.#listener = listener;
  }

  send(request: Buffer): void {
    this.#socket ??= this.#open();
    this.#socket.write(request);
  }

  /** The rest of what was sent, if its connection is still there. */
  sendRest(piece: Buffer): void {
    this.#socket?.write(piece);
  }

  /** Ours; undefined while it is not connected. */
  get port(): number | undefined {
    return this.#socket?.localPort;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#pending = undefined;
  }

  #open(): Socket {
    const socket = connect(Number(this.#base.port), this.#base.hostname);
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      if (this.#socket === socket) this.#take(chunk);
    });
    const lost = (error?: Error | boolean): void => {
      if (this.#socket !== socket) return;
      this.close();
      this.#listener.lost(error instanceof Error ? error : new Error('the connection was closed'));
    };
    socket.on('error', lost);
    socket.on('close', lost);
    return socket;
  }

  #take(chunk: Buffer): void {
    const bytes = this.#pending ? Buffer.concat([this.#pending, chunk]) : chunk;
    if (bytes.length !== this.#usual.length) {
      const kind = kindOf(bytes);
      if (typeof kind === 'object' && bytes.length === kind.length) this.#usual = kind;
      else if (kind === 'unknown' || (kind !== 'partial' && bytes.length > kind.length)) {
        this.close();
        this.#listener.lost(new Error(`unexpected answer: ${bytes.toString('latin1', 0, 200)}`));
        return;
      } else {
        this.#pending = bytes;
        return;
      }
    }
    this.#pending = undefined;
    if (this.#usual.closes) this.close();
    this.#listener.answered(bytes.toString('latin1', 9, 12));
  }
}

function kindOf(bytes: Buffer): Kind | 'partial' | 'unknown' {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return 'partial';
  const head = bytes.toString('latin1', 0, end + 2);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head);
  if (!length) return 'unknown';
  return {
    length: end + 4 + Number(length[1]),
    closes: /\r\nconnection: *close\r\n/i.test(head),
  };
}
