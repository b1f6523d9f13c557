// What a process and its descendants (nginx's worker, a cluster's workers) have used, as Linux
// counts it in /proc. Elsewhere there are no such figures.
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Whether CPU and memory of other processes can be read here. */
export const MEASURABLE = existsSync('/proc/self/stat');

/** Kernel ticks a second; fixed for programs on every Linux of today. */
const TICKS = 100;
const PAGE_BYTES = 4096;

interface Stat {
  readonly parent: number;
  readonly cpuMs: number;
  readonly rssBytes: number;
}

/** User and system time of a process and its living descendants. */
export function cpuMsOf(pid: number): number {
  return family(pid).reduce((sum, one) => sum + one.cpuMs, 0);
}

/** User and system time of a process alone. */
export function ownCpuMsOf(pid: number): number {
  return readStat(pid)?.cpuMs ?? 0;
}

/** Resident memory of a process and its descendants. */
export function rssBytesOf(pid: number): number {
  return family(pid).reduce((sum, one) => sum + one.rssBytes, 0);
}

/** Resident memory of a process alone: a look at one process, and not at all. */
export function ownRssBytesOf(pid: number): number {
  return readStat(pid)?.rssBytes ?? 0;
}

/** Ids of the processes that stem from `pid`. */
export function descendantsOf(pid: number): number[] {
  if (!MEASURABLE) return [];
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc'))
    if (/^\d+$/.test(name)) {
      const stat = readStat(Number(name));
      if (stat) parents.set(Number(name), stat.parent);
    }
  const found = [pid];
  for (const one of found)
    for (const [child, parent] of parents) if (parent === one) found.push(child);
  return found.slice(1);
}

/** The ports of the peers that a process is connected to over IPv4. */
export function peerPortsOf(pid: number): Set<number> {
  const own = new Set(
    readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      } catch {
        return undefined; // closed meanwhile
      }
    }),
  );
  const ports = new Set<number>();
  // Lines of `sl local remote state queues timer retransmits uid timeout inode`, addresses in hex.
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)) {
    const [, , remote = '', , , , , , , inode] = line.trim().split(/\s+/);
    if (own.has(inode)) ports.add(parseInt(remote.slice(remote.indexOf(':') + 1), 16));
  }
  return ports;
}

function family(pid: number): Stat[] {
  return [pid, ...descendantsOf(pid)].flatMap((one) => readStat(one) ?? []);
}

/** undefined when the process has gone. */
function readStat(pid: number): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The name, in parentheses, may hold spaces: the fields are counted from its end (proc(5)).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (nth: number): number => Number(fields[nth - 3]);
  return {
    parent: field(4),
    cpuMs: ((field(14) + field(15)) * 1000) / TICKS,
    rssBytes: field(24) * PAGE_BYTES,
  };
}
