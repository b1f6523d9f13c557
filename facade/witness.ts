// Whoever wants to know of a finished request, told in one call: metrics always, the access log and
// the trace where there are any.
import type { AccessLog } from './access-log.ts';
import type { AnswerTally } from './answer-tally.ts';
import type { Ended } from './ended.ts';
import type { Metrics } from './metrics.ts';
import type { Visit } from './visit.ts';

export type Witness = (visit: Visit, ended: Ended) => void;

export function createWitness(
  metrics: Pick<Metrics, 'finished'>,
  accessLog: AccessLog | undefined,
  answers?: Pick<AnswerTally, 'count'>,
): Witness {
  return (visit, ended) => {
    metrics.finished(ended);
    answers?.count(ended, visit.heldMs);
    if (accessLog) accessLog(visit, ended);
    if (visit.trace)
      visit.trace.end(ended.status, {
        'banyan.path': ended.path,
        'banyan.retries': ended.retries,
        'banyan.fell_back': ended.fellBack,
        'banyan.held_ms': Math.round(visit.heldMs),
      });
  };
}
