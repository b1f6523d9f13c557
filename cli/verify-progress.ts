// What `banyan verify` says of its progress, on stderr: a line that is written over on a terminal, now
// and then a line elsewhere, one JSON document each with --json.
import type { VerifyProgress } from '../sync/index.ts';
import { span } from './output.ts';

const TERMINAL_MS = 200;
const LINES_MS = 5_000;

export class ProgressLine {
  readonly #capability: string;
  readonly #json: boolean;
  readonly #terminal: boolean;
  #shownAt = performance.now();

  constructor(capability: string, json: boolean) {
    this.#capability = capability;
    this.#json = json;
    this.#terminal = process.stderr.isTTY && !json;
  }

  show(progress: VerifyProgress): void {
    const now = performance.now();
    if (now - this.#shownAt < (this.#terminal ? TERMINAL_MS : LINES_MS)) return;
    this.#shownAt = now;
    if (this.#json) this.#write(JSON.stringify({ capability: this.#capability, progress }));
    else if (this.#terminal) process.stderr.write(`\r\x1b[K${describe(progress)}`);
    else this.#write(`${this.#capability}: ${describe(progress)}`);
  }

  say(line: string): void {
    if (this.#json) this.#write(JSON.stringify({ capability: this.#capability, note: line }));
    else this.#write(`${this.#capability}: ${line}`);
  }

  /** Makes place for the answer. */
  clear(): void {
    if (this.#terminal) process.stderr.write('\r\x1b[K');
  }

  #write(line: string): void {
    this.clear();
    process.stderr.write(`${line}\n`);
  }
}

/** `120000 rows, 40 %, 12.0 s left, 3 look different`. */
function describe({ doing, rows, share, leftMs, suspects }: VerifyProgress): string {
  if (doing === 'settle') return `${rows} rows compared, ${suspects} are looked at again`;
  return [
    `${rows} rows`,
    ...(share === null ? [] : [`${Math.floor(share * 100)} %`]),
    ...(leftMs === null ? [] : [`${span(leftMs)} left`]),
    ...(suspects === 0 ? [] : [`${suspects} look different`]),
  ].join(', ');
}
