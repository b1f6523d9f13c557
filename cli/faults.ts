// Faults that the demo injects to show that its checks can fail. They stand at seams from outside;
// nothing in sync knows of them.
import { decodeMessage } from '../control/domain/flow.ts';
import type { ChangeLog } from '../sync/index.ts';

/** Heartbeats without a mark of the copy between them: the copy is over. */
const QUIET_HEARTBEATS = 8;

/**
 * Drops one change on the way: the first insert after the copy is over. (What is lost before, the
 * copy brings; a lost update is mended by the next update of its row.)
 */
export function loseChange(log: ChangeLog): ChangeLog {
  let quiet = 0;
  let lost = false;
  return {
    timeline: log.timeline,
    acknowledge: (endLsn) => {
      log.acknowledge(endLsn);
    },
    close: () => log.close(),
    read: async (signal) =>
      (await log.read(signal)).map((piece) => ({
        ...piece,
        changes: piece.changes.map((change) => {
          if (change.kind === 'message') {
            const kind = decodeMessage(change.content)?.kind;
            if (kind === 'heartbeat') quiet += 1;
            if (kind === 'low' || kind === 'high') quiet = 0;
          }
          if (lost || quiet < QUIET_HEARTBEATS || change.kind !== 'insert') return change;
          lost = true;
          // A message in its place keeps the sequence numbers as they were.
          return { kind: 'message', prefix: 'lost', content: '' } as const;
        }),
      })),
  };
}
