// `npm run bench:shadow`: what a shadow of every read costs the clients when the candidate behaves
// well, hangs, resets, trickles or floods. One facade, two capabilities with the same control: `plain`
// without a shadow, `shadowed` with a copy of each read. They take turns under load at a fixed share of
// what the facade can do, or under as much as it takes; after each turn the copies under way run out. What
// feeds the facade is written in C (h2load, nginx): programs in JavaScript stand still for their garbage as
// long as what is to be seen.
// Answers that were under way while the host of this machine had taken a core away do not count.
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { migrateControl } from '../control/store.ts';
import { sleep } from '../core/lifecycle.ts';
import { startEmbedded } from '../core/postgres/embedded.ts';
import { setStates, startFacade, type Facade } from './banyan.ts';
import { median } from './harness.ts';
import { ratioInterval, type Interval } from './interval.ts';
import { generateLoad, percentilesOf } from './load.ts';
import { startNginxAnswering } from './nginx.ts';
import { pacedLoad } from './paced-load.ts';
import {
  goFirst,
  hasTool,
  PINNED,
  pinSelf,
  startNode,
  stepAside,
  stopAll,
  YIELDS,
} from './processes.ts';
import { disturbedBy, watchStolenTime, type StolenTime } from './stolen.ts';
import { cpuMsOf, descendantsOf, ownRssBytesOf } from './usage.ts';

const MB = 1_048_576;
const TIMEOUT_MS = 1_000;
/** What a shadow may use gathers between turns; it is spent before the counting begins. */
const WARM_MS = 1_500;
/** As long each path is used before, as fast as it goes: V8 goes on making code faster. */
const READY_MS = 12_000;
/** And so many turns as those that count: what is new in them makes V8 begin anew with some of it. */
const READY_TURNS = 4;

/** The middle of the rounds' own figures. */
interface Turns {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Microseconds that the facade's process needs for a request. */
  readonly cpuUs: number;
  /** Of the answers that do not count. */
  readonly disturbed: number;
}

interface Turn extends Turns {
  readonly failed: number;
}

interface Row {
  readonly plain: Turns;
  readonly shadowed: Turns;
  /** Of the middle p99 with a shadow to the middle one without. */
  readonly p99Ratio: number;
  /** Within what it lies, as far as the rounds can tell. */
  readonly interval: Interval;
  /** The same of every second turn without a shadow to the others: what it is when nothing differs. */
  readonly noise: Interval;
  /** Of each round. */
  readonly p99Ms: { readonly plain: readonly number[]; readonly shadowed: readonly number[] };
  readonly failed: number;
  readonly rssMb: { readonly before: number; readonly most: number; readonly after: number };
  /** Copies by what became of them. */
  readonly copies: Readonly<Record<string, number>>;
}

const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    rounds: { type: 'string', default: '16' },
    'round-ms': { type: 'string', default: '5000' },
    /** Of what the facade can do without a shadow; 1: connections that ask as soon as they are answered. */
    share: { type: 'string', default: '0.2' },
    /** One candidate alone, by its name. */
    only: { type: 'string' },
  },
});
/** What the control answers: a kilobyte, as the candidate that behaves well. */
const ANSWER = JSON.stringify({ id: 17, name: 'a product', price: '12.50', text: 'x'.repeat(960) });
const rounds = Number(values.rounds);
const roundMs = Number(values['round-ms']);

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function measure(
  control: string,
  candidate: string,
  controlUrl: string,
  stolen: StolenTime | undefined,
): Promise<Row> {
  const facade = await startFacade({
    control: controlUrl,
    monolith: { upstream: control },
    services: { candidate: { upstream: candidate } },
    capabilities: {
      plain: { service: 'candidate', routes: ['/plain/:id'] },
      shadowed: { service: 'candidate', routes: ['/shadowed/:id'] },
    },
    facade: { timeoutMs: TIMEOUT_MS },
  });
  try {
    for (const path of ['plain', 'shadowed'])
      await generateLoad({ url: `${facade.url}/${path}/1`, connections: 32, ms: READY_MS });
    const { perSecond } = await generateLoad({
      url: `${facade.url}/plain/1`,
      connections: 32,
      ms: roundMs,
    });
    const rate = perSecond * Number(values.share);
    const before = ownRssBytesOf(facade.pid);
    let most = before;
    const watch = setInterval(() => {
      most = Math.max(most, ownRssBytesOf(facade.pid));
    }, 100);
    const plain: Turn[] = [];
    const shadowed: Turn[] = [];
    const turn = async (path: string, into: Turn[]): Promise<void> => {
      const cpuBefore = cpuMsOf(facade.pid);
      const { failed, answers } = await pacedLoad({
        url: `${facade.url}/${path}/1`,
        perSecond: rate,
        unpaced: Number(values.share) >= 1,
        ms: roundMs,
        warmMs: WARM_MS,
      });
      const cpuMs = cpuMsOf(facade.pid) - cpuBefore;
      const isDisturbed = disturbedBy((await stolen?.spans()) ?? []);
      const quiet = answers.filter((answer) => !isDisturbed(answer));
      into.push({
        failed,
        disturbed: 1 - quiet.length / answers.length,
        ...percentilesOf(quiet.map(({ from, to }) => to - from)),
        cpuUs: (cpuMs * 1_000_000) / (rate * roundMs),
      });
      // Copies run out; and each turn begins alike, whichever went before.
      await sleep(TIMEOUT_MS + 300);
    };
    try {
      for (let round = 0; round < READY_TURNS; round++)
        for (const path of ['plain', 'shadowed']) await turn(path, []);
      for (let round = 0; round < rounds; round++) {
        if (round % 2 === 0) await turn('plain', plain);
        await turn('shadowed', shadowed);
        if (round % 2 === 1) await turn('plain', plain);
      }
    } finally {
      clearInterval(watch);
    }
    const toMb = (bytes: number): number => Math.round(bytes / MB);
    return {
      plain: middleOf(plain),
      shadowed: middleOf(shadowed),
      p99Ratio: middleOf(shadowed).p99Ms / middleOf(plain).p99Ms,
      interval: ratioInterval(p99sOf(shadowed), p99sOf(plain)),
      noise: ratioInterval(p99sOf(half(plain, 1)), p99sOf(half(plain, 0))),
      p99Ms: { plain: p99sOf(plain), shadowed: p99sOf(shadowed) },
      failed: [...plain, ...shadowed].reduce((sum, { failed }) => sum + failed, 0),
      rssMb: { before: toMb(before), most: toMb(most), after: toMb(ownRssBytesOf(facade.pid)) },
      copies: await copiesOf(facade),
    };
  } finally {
    await facade.stop();
  }
}

/**
 * The middle of the rounds' own figures. Rounds are so short that most have no stall of the machine
 * in them: what disturbs some rounds does not count.
 */
function middleOf(turns: readonly Turn[]): Turns {
  const of = (figure: keyof Turns): number => median(turns.map((turn) => turn[figure]));
  return {
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    cpuUs: of('cpuUs'),
    disturbed: of('disturbed'),
  };
}

function p99sOf(turns: readonly Turn[]): number[] {
  return turns.map(({ p99Ms }) => p99Ms);
}

/** Every second turn. */
function half(turns: readonly Turn[], rest: 0 | 1): Turn[] {
  return turns.filter((_turn, nth) => nth % 2 === rest);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function textOf({ low, high }: Interval): string {
  return `${low.toFixed(2)}–${high.toFixed(2)}`;
}

async function copiesOf(facade: Facade): Promise<Record<string, number>> {
  const text = await (await fetch(`${facade.adminUrl}/metrics`)).text();
  return Object.fromEntries(
    [...text.matchAll(/^banyan_shadow\w*\{(.*)\} (\d+)$/gm)].map(([, labels = '', count]) => [
      labels.replace(/capability="\w+",?/, ''),
      Number(count),
    ]),
  );
}

pinSelf();
say(
  PINNED
    ? 'The facade runs on core 1; upstream, load generator and PostgreSQL on core 0, and candidates on what they leave of it.'
    : 'No taskset, or one core only: the facade competes with what feeds it.',
);
if (!PINNED || !YIELDS) say('What the host takes away counts too.');
if (!YIELDS) say('No chrt: candidates compete with the upstream.');
if (!hasTool('h2load', '--version') || !hasTool('nginx', '-v')) {
  say('h2load and nginx are needed (Debian: nghttp2-client, nginx-light).');
  process.exit(1);
}
const postgres = await startEmbedded({ fsync: false });
stepAside(descendantsOf(process.pid));
goFirst();
const stolen = await watchStolenTime();
try {
  const controlUrl = await postgres.createDatabase('control');
  await migrateControl(controlUrl);
  await setStates(controlUrl, { shadowed: { phase: 'shadow' } });
  const upstream = await startNginxAnswering(ANSWER);
  // They are others' machines: what they do with their processors is not to be seen here.
  const twin = await startNode('aside', './contender-upstream.ts');
  const candidates = await startNode('aside', './contender-candidate.ts', twin.line);
  const report: Record<string, Row> = {};
  for (const [name, url] of Object.entries(JSON.parse(candidates.line) as Record<string, string>)) {
    if (values.only !== undefined && values.only !== name) continue;
    const row = await measure(upstream.line, url, controlUrl, stolen);
    report[name] = row;
    const { plain, shadowed, rssMb } = row;
    say(
      `a candidate that ${name.padEnd(12)}: p99 ${row.p99Ratio.toFixed(2)} of that without shadow (95 %: ${textOf(row.interval)}; wanted: at most 1.10; one half of the turns without to the other: ${textOf(row.noise)}); ` +
        `CPU of a request ${plain.cpuUs.toFixed(1)} → ${shadowed.cpuUs.toFixed(1)} µs, p50 ${plain.p50Ms.toFixed(2)} → ${shadowed.p50Ms.toFixed(2)} ms, p99 ${plain.p99Ms.toFixed(2)} → ${shadowed.p99Ms.toFixed(2)} ms; ` +
        `disturbed by the host ${percent(plain.disturbed)} and ${percent(shadowed.disturbed)} of the answers; ${row.failed} failed; memory ${rssMb.before} → ${rssMb.after} MB, at most ${rssMb.most} MB`,
    );
    say(`  copies: ${JSON.stringify(row.copies)}`);
  }
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify(report, null, 2)}\n`);
} finally {
  await stopAll();
  await stolen?.stop();
  await postgres.stop();
}
