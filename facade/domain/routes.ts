// The capabilities' routes, compiled once into a tree of segments. The most specific route that
// takes the method wins: segment by segment a literal before `:param` before `**`, and at the same
// path a route that names the method before one that names none. `**` also matches nothing, so
// `/api/products/**` covers `/api/products`. A route that takes GET takes HEAD.
//
// Every match of one route and method is the same object, made here: it is a bounded label.
import type { Migration } from '../../control/definition.ts';
import { BanyanError } from '../../core/errors.ts';
import { compilePolicy, type Policy } from './policy.ts';
import { parseTarget } from './target.ts';

export type Kind = 'read' | 'write';

/** What an overloaded edge refuses first (`low`), later (`normal`) and never. */
export type Priority = 'low' | 'normal' | 'high';

/** The route that claims a request. */
export interface Match {
  readonly capability: string;
  readonly policy: Policy;
  readonly kind: Kind;
  /** The definition names the kind, whatever the method says. */
  readonly explicitKind: boolean;
  /** Deadline of its requests, where the definition names one. */
  readonly timeoutMs: number | undefined;
  readonly priority: Priority;
  /** `/api/products/:id`, as the definition writes it. */
  readonly path: string;
  /** `GET /api/products/:id`, as the definition writes the path; methods we do not know are `OTHER`. */
  readonly label: string;
  /**
   * The same claim on an upgraded connection. Whatever the method says, it may carry writes, so it
   * counts as one unless the route itself says `kind: 'read'`.
   */
  readonly tunnel: Match;
}

export interface Routes {
  /** The claim on a request, or undefined when no capability claims it. */
  match(method: string, segments: readonly string[]): Match | undefined;
  /** Every policy, by the name of its capability. */
  readonly policies: ReadonlyMap<string, Policy>;
}

interface Node {
  readonly literals: Map<string, Node>;
  param: Node | undefined;
  readonly here: Entry[];
  readonly rest: Entry[];
}

interface Entry {
  readonly path: string;
  readonly capability: string;
  readonly named: boolean;
  readonly byMethod: Map<string, Match>;
  /** For a method that is not in `byMethod`; only where the route names no methods. */
  readonly other: Match | undefined;
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** What the method alone says (RFC 9110 §9.2.1: safe methods read). */
export function kindOf(method: string): Kind {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? 'read' : 'write';
}

/** Compiles the routes of a definition. Throws CONFIG_INVALID when two of them cannot be told apart. */
export function compileRoutes(capabilities: Migration['capabilities']): Routes {
  const root = emptyNode();
  const policies = new Map<string, Policy>();
  const mistakes: string[] = [];
  for (const [name, capability] of Object.entries(capabilities)) {
    const policy = compilePolicy(name, capability);
    policies.set(name, policy);
    capability.routes.forEach((route, index) => {
      const place = insert(root, route.path);
      if (typeof place === 'string')
        mistakes.push(`capabilities.${name}.routes.${index}: ${route.path} ${place}`);
      else place.push(entryOf(policy, route));
    });
  }
  finish(root, mistakes);
  if (mistakes.length > 0)
    throw new BanyanError('CONFIG_INVALID', `routes cannot be compiled:\n${lines(mistakes)}`, {
      hint: 'Paths look like /api/products, /api/products/:id or /api/products/**.',
      details: mistakes,
    });
  return { policies, match: (method, segments) => walk(root, segments, 0, method) };
}

type Route = Migration['capabilities'][string]['routes'][number];

function entryOf(policy: Policy, route: Route): Entry {
  const methods = 'methods' in route ? route.methods : undefined;
  const override = 'kind' in route ? route.kind : undefined;
  const make = (method: string): Match => {
    const said = {
      capability: policy.capability,
      policy,
      explicitKind: override !== undefined,
      timeoutMs: 'timeoutMs' in route ? route.timeoutMs : undefined,
      priority: ('priority' in route ? route.priority : undefined) ?? 'normal',
      path: route.path,
      label: `${method} ${route.path}`,
    };
    const tunnel: Match = {
      ...said,
      kind: override ?? 'write',
      get tunnel() {
        return tunnel;
      },
    };
    return { ...said, kind: override ?? kindOf(method), tunnel };
  };
  return {
    path: route.path,
    capability: policy.capability,
    named: methods !== undefined,
    byMethod: new Map((methods ?? METHODS).map((method) => [method, make(method)])),
    other: methods === undefined ? make('OTHER') : undefined,
  };
}

/** Finds or makes the list that a path's entries belong to; a string says what is wrong with the path. */
function insert(root: Node, path: string): Entry[] | string {
  const parts = path.split('/').slice(1);
  if (parts.at(-1) === '') parts.pop();
  let node = root;
  for (const [index, part] of parts.entries()) {
    if (part === '**') {
      if (index !== parts.length - 1) return 'has ** before its end';
      return node.rest;
    }
    if (/^:\w+$/.test(part)) {
      node.param ??= emptyNode();
      node = node.param;
      continue;
    }
    const parsed = parseTarget(`/${part}`);
    // A literal that could be read in several ways would claim what it does not show.
    const value =
      parsed.kind === 'target' && parsed.others.length === 0 ? parsed.segments[0] : undefined;
    if (value === undefined || /[*:?;]/.test(part)) return `has a segment "${part}" that cannot be`;
    let next = node.literals.get(value);
    if (!next) {
      next = emptyNode();
      node.literals.set(value, next);
    }
    node = next;
  }
  return node.here;
}

function emptyNode(): Node {
  return { literals: new Map(), param: undefined, here: [], rest: [] };
}

/** Puts entries that name methods first, gives HEAD to whoever takes GET, and finds double claims. */
function finish(node: Node, mistakes: string[]): void {
  for (const entries of [node.here, node.rest]) {
    entries.sort((a, b) => Number(b.named) - Number(a.named));
    const claimed = new Map<string, Entry>();
    for (const entry of entries)
      for (const method of entry.named ? entry.byMethod.keys() : ['*']) {
        const before = claimed.get(method);
        if (before)
          mistakes.push(
            `${method} ${entry.path} of "${entry.capability}" cannot be told from ${before.path} of "${before.capability}"`,
          );
        claimed.set(method, entry);
      }
    for (const entry of entries) {
      const get = entry.byMethod.get('GET');
      if (get && entry.named && !claimed.has('HEAD'))
        entry.byMethod.set('HEAD', { ...get, label: `HEAD ${entry.path}` });
    }
  }
  for (const next of node.literals.values()) finish(next, mistakes);
  if (node.param) finish(node.param, mistakes);
}

function walk(
  node: Node,
  segments: readonly string[],
  at: number,
  method: string,
): Match | undefined {
  const segment = segments[at];
  if (segment === undefined) return pick(node.here, method) ?? pick(node.rest, method);
  const literal = node.literals.get(segment);
  return (
    (literal && walk(literal, segments, at + 1, method)) ??
    (node.param && walk(node.param, segments, at + 1, method)) ??
    pick(node.rest, method)
  );
}

function pick(entries: readonly Entry[], method: string): Match | undefined {
  for (const entry of entries) {
    const match = entry.byMethod.get(method) ?? entry.other;
    if (match) return match;
  }
  return undefined;
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `  - ${text}`).join('\n');
}
