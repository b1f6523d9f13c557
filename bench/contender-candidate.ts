// Candidates for shadow copies, each on a port of its own; the first line of stdout names their URLs.
// All but the first misbehave. `node contender-candidate.ts UPSTREAM`; UPSTREAM is the well-behaved.
import { createServer, type AddressInfo, type Socket } from 'node:net';

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n';
const PIECE = Buffer.from(`19000\r\n${'x'.repeat(0x19000)}\r\n`);

const SCRIPTS: Readonly<Record<string, (socket: Socket) => void>> = {
  hangs: () => undefined,
  resets: (socket) => {
    socket.resetAndDestroy();
  },
  /** One byte a second. */
  trickles: (socket) => {
    socket.write(`${HEAD}content-length: 1014\r\n\r\n`);
    every(socket, 1_000, () => socket.write('x'));
  },
  /** 10 MB a second, on each connection, without an end. */
  floods: (socket) => {
    socket.write(`${HEAD}transfer-encoding: chunked\r\n\r\n`);
    every(socket, 10, () => socket.writableNeedDrain || socket.write(PIECE));
  },
};

function every(socket: Socket, ms: number, work: () => void): void {
  const timer = setInterval(work, ms);
  socket.on('close', () => {
    clearInterval(timer);
  });
}

const urls: Record<string, string> = { 'behaves well': process.argv[2] ?? '' };
for (const [name, script] of Object.entries(SCRIPTS)) {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      script(socket);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  urls[name] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
process.stdout.write(`${JSON.stringify(urls)}\n`);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
