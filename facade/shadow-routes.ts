// What a shadow has learnt of each route: what the monolith does not reproduce itself, and whether copies
// tell anything at all.
import type { Migration } from '../control/definition.ts';
import type { Logger } from '../core/log.ts';
import { RouteNoise } from './domain/noise.ts';
import type { Match } from './domain/routes.ts';
import { Ejection } from './ejection.ts';

export interface ShadowRoute {
  readonly noise: RouteNoise;
  /** Of the capability; undefined where the gate allows for a share of wrong answers. */
  readonly silent: Ejection | undefined;
  readonly tooLarge: Ejection;
}

/**
 * A candidate that did not answer so many copies in a row is asked at this pace until it answers one. Where
 * the gate allows for a share of wrong answers, silence is to count in full: there it is asked as ever.
 * So is a route whose answers, of either side, were all too large to compare, until one is not.
 */
const EJECTION = { failures: 10, probeMs: 1_000 };

export function rememberRoutes(
  { capabilities }: Migration,
  log: Logger,
  now?: () => number,
): (match: Match) => ShadowRoute {
  const ejection = (onChange: (isOut: boolean) => void): Ejection =>
    new Ejection({ ...EJECTION, onChange, ...(now && { now }) });
  const silences = new Map(
    Object.entries(capabilities)
      .filter(([, { gates }]) => gates.mismatchRate === 0)
      .map(([capability]) => [
        capability,
        ejection((isOut) => {
          if (isOut) log.warn('the candidate does not answer: a copy a second', { capability });
          else log.info('the candidate answers again', { capability });
        }),
      ]),
  );
  const learn = ({ capability, label: route }: Match): ShadowRoute => ({
    noise: new RouteNoise((place) => {
      log.info('the monolith does not reproduce this itself: differences there are noise', {
        capability,
        route,
        place,
      });
    }),
    silent: silences.get(capability),
    tooLarge: ejection((isOut) => {
      if (isOut)
        log.warn('answers are larger than facade.shadow.bodyBytes: a copy a second', {
          capability,
          route,
        });
      else log.info('answers can be compared again', { capability, route });
    }),
  });
  /** Asked for with every read: no key is made up for it. */
  const routes = new Map<Match, ShadowRoute>();
  return (match) => {
    let route = routes.get(match);
    if (!route) routes.set(match, (route = learn(match)));
    return route;
  };
}
