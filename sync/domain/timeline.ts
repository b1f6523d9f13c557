// Where the timelines of a source fork. A server that is promoted ends the timeline it followed at its
// switch point and begins a new one: what was applied from the old one behind that point, the promoted
// server never had. A checkpoint is good on another timeline exactly when it lies on the part that both
// have in common.
import { parseLsn, type Lsn, type Position } from '../../core/postgres/lsn.ts';

/** The end of a timeline on the way to a later one. */
export interface Fork {
  readonly timeline: number;
  /** The first byte that the later one does not share. */
  readonly at: Lsn;
}

/**
 * Reads a timeline history file: one line for each timeline before, `number<tab>switch point<tab>reason`
 * (PostgreSQL documentation, "Timelines"). Throws a RangeError on anything else.
 */
export function parseHistory(text: string): Fork[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [timeline = '', at = ''] = line.split(/\s+/);
      if (!/^\d+$/.test(timeline)) throw new RangeError(`not a timeline: ${JSON.stringify(line)}`);
      return { timeline: Number(timeline), at: parseLsn(at) };
    });
}

export type Continuation =
  | { readonly kind: 'goes on' }
  /** Changes were applied that the server does not have. */
  | { readonly kind: 'past'; readonly switchPoint: Lsn }
  /** The server's timeline did not come from the checkpoint's: an older server, or another branch. */
  | { readonly kind: 'unrelated' };

/** Whether a flow whose checkpoint is at `position` may go on at a server on `timeline`. */
export function continuation(
  position: Position,
  timeline: number,
  history: readonly Fork[],
): Continuation {
  if (position.timeline === timeline) return { kind: 'goes on' };
  const fork = history.find((one) => one.timeline === position.timeline);
  if (!fork) return { kind: 'unrelated' };
  // A commit record that begins before the switch point ends there at the latest. At the point itself
  // begins what is not shared: a checkpoint there is good as long as nothing of it was consumed.
  const { commitLsn, seq } = position;
  const isShared = commitLsn < fork.at || (commitLsn === fork.at && seq === 0);
  return isShared ? { kind: 'goes on' } : { kind: 'past', switchPoint: fork.at };
}
