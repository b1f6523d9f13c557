// The crew with processes that a test scripts; real ones are in test/workers.pg.test.ts.
import { EventEmitter } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { eventually } from '../test/support/http.ts';
import { CrewFigures } from './crew-figures.ts';
import { Crew, type Member } from './crew.ts';
import type { FromWorker, ToWorker } from './worker-messages.ts';

/** A worker that does what the test says; ends when it is told to stop or killed. */
class Scripted extends EventEmitter {
  readonly id: number;
  readonly process: { pid: number | undefined; kill(): void };
  readonly told: ToWorker[] = [];
  connected = true;

  constructor(id: number) {
    super();
    this.id = id;
    this.process = {
      pid: 1_000 + id,
      kill: () => {
        this.die(null, 'SIGKILL');
      },
    };
  }

  isConnected(): boolean {
    return this.connected;
  }

  send(message: ToWorker): void {
    this.told.push(message);
    if (message.banyan === 'stop') this.die(0, null);
  }

  says(message: FromWorker): void {
    this.emit('message', message);
  }

  die(code: number | null, signal: string | null): void {
    this.connected = false;
    this.emit('exit', code, signal);
  }
}

function crewOf(
  size: number,
  forkOf = (id: number): Scripted => new Scripted(id),
): {
  crew: Crew;
  forked: Scripted[];
  gone: Member[];
  logged: string[];
} {
  const forked: Scripted[] = [];
  const gone: Member[] = [];
  const logged: string[] = [];
  const silent = (): never => undefined as never;
  const crew = new Crew({
    size,
    drainMs: 10_000,
    fork: () => {
      const worker = forkOf(forked.length + 1);
      forked.push(worker);
      return worker;
    },
    log: {
      debug: silent,
      info: silent,
      error: silent,
      warn: ((message: string) => void logged.push(message)) as never,
    },
    onExit: (member) => void gone.push(member),
  });
  return { crew, forked, gone, logged };
}

const LISTENING: FromWorker = { banyan: 'listening', url: 'http://127.0.0.1:80' };

describe('the crew', () => {
  test('has started when all listen, and says until then what is missing', async () => {
    const { crew, forked } = crewOf(3);
    let url = '';
    const started = crew.start().then((at) => (url = at));
    expect(crew.missing()).toEqual(['3 of 3 workers do not listen']);
    for (const worker of forked.slice(0, 2)) worker.says(LISTENING);
    expect([crew.missing(), url]).toEqual([['1 of 3 workers do not listen'], '']);
    forked[2]?.says(LISTENING);
    await started;
    expect([crew.missing(), url]).toEqual([[], 'http://127.0.0.1:80']);
    await crew.stop();
  });

  test('a worker that cannot start ends the start with its own error, and none is started again', async () => {
    const { crew, forked, logged } = crewOf(2);
    const started = crew.start();
    forked[0]?.says(LISTENING);
    forked[1]?.says({ banyan: 'failed', code: 'CONFIG_INVALID', message: 'no', hint: 'mend it' });
    forked[1]?.die(2, null);
    await expect(started).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: 'no',
      hint: 'mend it',
    });
    await crew.stop();
    expect([forked.length, logged]).toEqual([2, []]);
  });

  test('one that dies later is replaced and counted', async () => {
    const { crew, forked, gone, logged } = crewOf(2);
    const started = crew.start();
    forked[0]?.says({ banyan: 'replica', id: 'r-1' });
    for (const worker of forked) worker.says(LISTENING);
    await started;
    forked[0]?.die(null, 'SIGKILL');
    await eventually('another', () => forked.length === 3);
    expect(gone).toMatchObject([{ worker: 1, replica: 'r-1', stage: 'listening' }]);
    expect(crew.missing()).toEqual(['1 of 2 workers do not listen']);
    forked[2]?.says(LISTENING);
    expect([crew.missing(), crew.restarts, logged.length]).toEqual([[], 1, 1]);
    await crew.stop();
    expect(forked).toHaveLength(3);
  });

  test('one whose successor cannot be forked for a while is replaced later', async () => {
    let asked = 0;
    const { crew, forked } = crewOf(2, (id) => {
      asked += 1;
      if (asked === 3) throw new Error('spawn ENOMEM');
      if (asked !== 4) return new Scripted(id);
      // As node:cluster has it: no process, an error, and no exit.
      const none = new Scripted(id);
      none.process.pid = undefined;
      setImmediate(() => none.emit('error', new Error('spawn EAGAIN')));
      return none;
    });
    const started = crew.start();
    for (const worker of forked) worker.says(LISTENING);
    await started;
    forked[0]?.die(null, 'SIGKILL');
    await eventually('a third try', () => asked === 5);
    forked.at(-1)?.says(LISTENING);
    expect(crew.missing()).toEqual([]);
    await crew.stop();
  });

  test('an answer that does not come is not waited for without a limit', async () => {
    const { crew, forked } = crewOf(2);
    const started = crew.start();
    for (const worker of forked) worker.says(LISTENING);
    await started;
    const asked = crew.ask('state');
    const [question] = forked[0]?.told ?? [];
    if (question?.banyan !== 'ask') throw new Error('nothing was asked');
    forked[0]?.says({ banyan: 'answer', id: question.id, value: { it: 'is' } });
    expect((await asked).map(({ value }) => value)).toEqual([{ it: 'is' }, undefined]);
    await crew.stop();
  });
});

describe('the figures of a crew', () => {
  function worker(requests: number, open: number): Registry {
    const registry = new Registry();
    const registers = [registry];
    new Counter({ name: 'c', help: 'c', labelNames: ['status'], registers }).inc(
      { status: 200 },
      requests,
    );
    new Gauge({ name: 'g', help: 'g', registers }).set(open);
    new Histogram({ name: 'h', help: 'h', buckets: [1], registers }).observe(requests);
    return registry;
  }

  test('counts of a worker that is gone stay in the sum, its gauges do not', async () => {
    const figures = new CrewFigures();
    const own = new Registry();
    figures.tell(1, await worker(10, 3).getMetricsAsJSON());
    figures.tell(2, await worker(5, 2).getMetricsAsJSON());
    expect(await figures.text(own)).toMatch(/^c\{status="200"\} 15$[^]*^g 5$/m);
    figures.lose(1);
    figures.tell(1, await worker(11, 3).getMetricsAsJSON());
    figures.lose(2);
    figures.tell(3, await worker(1, 1).getMetricsAsJSON());
    const text = await figures.text(own);
    expect(text).toMatch(/^c\{status="200"\} 16$[^]*^g 1$/m);
    expect(text).toMatch(/^h_sum 16$[^]*^h_count 3$/m);
  });
});
