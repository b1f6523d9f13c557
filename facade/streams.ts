// Event streams that are open (text/event-stream). Such an answer has no end, and its client asks again where
// it has left off (HTML, Server-sent events): so what is open when a capability moves is ended, and comes
// again on the path that its client's other requests take by then. Other long answers are let through to their
// end: whoever downloads a file could not go on with it.
import type { Owner } from '../control/domain/phase.ts';

/** One that is open. */
export interface EventStream {
  /** Whose answer it is. */
  readonly path: Owner;
  /** Where its request would go now; undefined where that cannot be said, or where nobody claims it. */
  readonly wanted: () => Owner | undefined;
  /** Ends the answer as if it were whole. */
  readonly end: () => void;
}

const MEDIA_TYPE = /^text\/event-stream(?:[;\s]|$)/i;

/** Whether an answer with these fields, names and values by turns, is an event stream. */
export function isEventStream(fields: readonly string[]): boolean {
  for (let at = 0; at + 1 < fields.length; at += 2)
    if (fields[at]?.length === 12 && fields[at]?.toLowerCase() === 'content-type')
      return MEDIA_TYPE.test(fields[at + 1] ?? '');
  return false;
}

export class EventStreams {
  readonly #withinMs: number;
  /** Each with the moment at which it is ended, where it has one. */
  readonly #open = new Map<EventStream, NodeJS.Timeout | undefined>();

  /** Those that are on the wrong path are ended within this time, spread over it: they all come again. */
  constructor(withinMs: number) {
    this.#withinMs = withinMs;
  }

  add(stream: EventStream): void {
    this.#open.set(stream, undefined);
  }

  /** It has ended. */
  delete(stream: EventStream): void {
    clearTimeout(this.#open.get(stream));
    this.#open.delete(stream);
  }

  /** To be called when states have changed. */
  apply(): void {
    for (const [stream, timer] of this.#open)
      if (timer === undefined && isAstray(stream))
        this.#open.set(stream, setTimeout(onTime, Math.random() * this.#withinMs, this, stream));
  }

  /** Its time has come, unless it is on the right path again. */
  due(stream: EventStream): void {
    this.#open.set(stream, undefined);
    if (isAstray(stream)) stream.end();
  }

  /** Ends them all. */
  drain(): void {
    for (const stream of [...this.#open.keys()]) stream.end();
  }
}

function isAstray({ path, wanted }: EventStream): boolean {
  const now = wanted();
  return now !== undefined && now !== path;
}

function onTime(streams: EventStreams, stream: EventStream): void {
  streams.due(stream);
}
