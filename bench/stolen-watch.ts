// Sleeps a millisecond at a time, before everything else on its core (SCHED_FIFO), and writes down when it was
// woken late: then the core ran nothing of this machine's, for the machine is a guest and its host had other
// things to do. Usage: stolen-watch.ts <file>; it runs until it is killed.
import { appendFileSync, writeFileSync } from 'node:fs';

const SLEEP_MS = 1;
/** Less is what timers and interrupts do. */
const LATE_MS = 1;

const [file = ''] = process.argv.slice(2);
const never = new Int32Array(new SharedArrayBuffer(4));
const now = (): number => performance.timeOrigin + performance.now();

writeFileSync(file, '');
process.stdout.write('watching\n');
for (let before = now(); ;) {
  Atomics.wait(never, 0, 0, SLEEP_MS);
  const woken = now();
  if (woken - before > SLEEP_MS + LATE_MS) appendFileSync(file, `${before}\t${woken}\n`);
  before = now();
}
