// Answers as a shop gives them, drawn from a seed: products, orders, lists and lookups, with names in
// several scripts, money as text and as numbers, nulls, empty lists and 64-bit ids.
type Random = () => number;

export type Answered = Record<string, unknown>;

const NAMES = [
  'Kaffee',
  'Café crème',
  'Ünïcode',
  '茶',
  'Tea “Earl”',
  'Mélange 🫖',
  'a\\b/c',
  'Σίσυφος',
];

export function whole(random: Random, most: number): number {
  return Math.floor(random() * most);
}

export function pick<T>(random: Random, from: readonly T[]): T {
  return from[whole(random, from.length)] as T;
}

function product(random: Random, id: number): Answered {
  const cents = 100 + whole(random, 100_000);
  return {
    id,
    sku: `SKU-${id}-${whole(random, 1_000)}`,
    name: pick(random, NAMES),
    price: (cents / 100).toFixed(2),
    weightKg: Math.round(random() * 10_000) / 1_000,
    stock: whole(random, 500),
    active: random() < 0.8,
    brand: random() < 0.2 ? null : { id: whole(random, 50), name: pick(random, NAMES) },
    tags: ['new', 'sale', 'bio', 'gift'].filter(() => random() < 0.5),
    sizes: [1, 2, 3, 5, 8].slice(0, 1 + whole(random, 5)),
    createdAt: new Date(1.7e12 + whole(random, 1e10)).toISOString(),
  };
}

/** One of four kinds of answers; the same seed gives the same. */
export function stableAnswer(random: Random): Answered {
  switch (whole(random, 4)) {
    case 0:
      return product(random, 1 + whole(random, 10_000));
    case 1:
      return {
        page: 1 + whole(random, 9),
        total: 100 + whole(random, 900),
        items: Array.from({ length: 2 + whole(random, 8) }, (_, nth) =>
          product(random, 10 * nth + 1 + whole(random, 9)),
        ),
      };
    case 2:
      return {
        order: {
          id: 1 + whole(random, 1e6),
          customer: {
            name: pick(random, NAMES),
            address: { zip: `0${1000 + whole(random, 9000)}` },
          },
          lines: Array.from({ length: 1 + whole(random, 5) }, (_, nth) => ({
            line: nth + 1,
            product: product(random, 1 + whole(random, 100)),
            quantity: 1 + whole(random, 9),
          })),
          total: (whole(random, 1e6) / 100).toFixed(2),
          paidAt: random() < 0.5 ? null : '2026-03-01T10:00:00.000Z',
        },
      };
    default:
      return {
        steps: Array.from({ length: 3 + whole(random, 4) }, () => ({
          at: [whole(random, 90), whole(random, 180)],
          note: pick(random, NAMES),
        })),
        ratio: Math.round(random() * 1e6) / 1e6,
        counts: { open: whole(random, 10), done: whole(random, 10) },
        matrix: [
          [1, 2, 3],
          [4, 5, 6],
        ],
      };
  }
}

/** What no server gives twice: times, and by `chance` ids, order and whatever else varies. */
export function volatile(answer: Answered, chance: Random): Answered {
  const now = Date.now();
  return {
    ...answer,
    requestId: uuid(chance),
    servedAt: new Date(now).toISOString(),
    second: Math.floor(now / 1000),
    tookMs: chance() * 20,
    isCached: chance() < 0.5,
    banner: pick(chance, ['summer', 'winter', 'none']),
    promotion: chance() < 0.4 ? null : { code: pick(chance, ['A', 'B']), percent: 10 },
    facets: shuffled(chance, ['red', 'green', 'blue', 'black']),
    related: shuffled(
      chance,
      [1, 2, 3, 4].map((id) => ({ id, label: `related ${id}`, token: uuid(chance) })),
    ),
    pair: shuffled(chance, [{ id: 'l' }, { id: 'r' }]),
    suggested: Array.from({ length: 1 + whole(chance, 4) }, () => ({
      product: whole(chance, 1e6),
      price: whole(chance, 1e4) / 100,
      ...(chance() < 0.5 ? { discount: 5 } : {}),
    })),
    sessions: { [uuid(chance)]: { seen: chance() }, [uuid(chance)]: { seen: chance() } },
  };
}

function uuid(random: Random): string {
  const hex = Array.from({ length: 32 }, () => whole(random, 16).toString(16)).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function shuffled<T>(random: Random, given: readonly T[]): T[] {
  return given
    .map((one) => [random(), one] as const)
    .sort(([a], [b]) => a - b)
    .map(([, one]) => one);
}
