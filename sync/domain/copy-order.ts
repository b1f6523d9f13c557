// Which tables may be copied side by side: those that are independent. A table waits for the earlier
// ones whose targets it shares, or that are tied to its own by a foreign key.
import { formatTable } from '../../core/postgres/identifiers.ts';
import type { LiveSchema } from '../../core/postgres/catalog.ts';
import type { Edge } from './mapping.ts';

/** For each source table, in the order they are copied in, those that must be copied before it. */
export function copyWaits(
  order: readonly string[],
  edges: readonly Edge[],
  target: LiveSchema,
): Map<string, readonly string[]> {
  const targets = new Map(
    order.map((label) => [
      label,
      edges
        .filter((edge) => formatTable(edge.source) === label)
        .map((edge) => formatTable(edge.target)),
    ]),
  );
  const tied = (a: string, b: string): boolean =>
    a === b ||
    (target.get(a)?.references.includes(b) ?? false) ||
    (target.get(b)?.references.includes(a) ?? false);
  return new Map(
    order.map((label, index) => [
      label,
      order
        .slice(0, index)
        .filter((earlier) =>
          targets.get(earlier)?.some((a) => targets.get(label)?.some((b) => tied(a, b))),
        ),
    ]),
  );
}
