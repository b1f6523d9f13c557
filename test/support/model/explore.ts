// An explicit-state model checker: all states that a model can reach, breadth first, so that what it
// finds wrong is told by the shortest way there. States are plain data; their JSON tells them apart.

/** One thing that may happen in a state. */
export interface Action<State> {
  readonly name: string;
  /** Chance or malice: a system must come to rest without it. */
  readonly isFault?: boolean;
  /** A look, so that most states need not be copied for it: whether it may happen there. */
  readonly may: (state: State) => boolean;
  /** Changes the state; gives false where it cannot happen after all. */
  readonly happen: (state: State) => boolean;
}

export interface Model<State> {
  readonly initial: State;
  readonly actions: readonly Action<State>[];
  /** Takes away what tells states apart and makes no difference; changes the state. */
  plain(state: State): void;
  /** What is wrong with a state; undefined when nothing is. */
  wrong(state: State): string | undefined;
  /** Where it may rest: from every state one of these must be reachable without faults. */
  isDone(state: State): boolean;
  /** From each state of the one kind, one of the other must be reachable without faults. */
  readonly promise?: {
    readonly from: (state: State) => boolean;
    readonly to: (state: State) => boolean;
    readonly broken: string;
  };
}

export interface Exploration {
  readonly states: number;
  /** What is wrong, and the actions that lead there. */
  readonly found: { readonly what: string; readonly trace: readonly string[] } | undefined;
}

/** Visits every reachable state. Throws a RangeError where there are more than `most`. */
export function explore<State>(model: Model<State>, most = 2_000_000): Exploration {
  const numbers = new Map<string, number>();
  const texts: string[] = [];
  const cameBy: { readonly from: number; readonly by: string }[] = [];
  /** For each state those that lead to it without a fault. */
  const sources: number[][] = [];
  const done: number[] = [];
  const [promised, kept]: [number[], number[]] = [[], []];
  const trace = (to: number): string[] => {
    const way: string[] = [];
    for (let at = to; at > 0; at = cameBy[at]?.from ?? 0) way.unshift(cameBy[at]?.by ?? '');
    return way;
  };
  const enter = (state: State, from: number, by: string): number => {
    model.plain(state);
    const text = JSON.stringify(state);
    const known = numbers.get(text);
    if (known !== undefined) return known;
    const number = texts.length;
    if (number >= most) throw new RangeError(`the model has more than ${most} states`);
    numbers.set(text, number);
    texts.push(text);
    cameBy.push({ from, by });
    sources.push([]);
    if (model.isDone(state)) done.push(number);
    if (model.promise?.from(state)) promised.push(number);
    if (model.promise?.to(state)) kept.push(number);
    return number;
  };
  enter(model.initial, 0, '');
  for (let at = 0; at < texts.length; at++) {
    const text = texts[at] as string;
    const here = JSON.parse(text) as State;
    const what = model.wrong(here);
    if (what !== undefined) return { states: texts.length, found: { what, trace: trace(at) } };
    for (const { name, isFault, may, happen } of model.actions) {
      if (!may(here)) continue;
      const state = JSON.parse(text) as State;
      if (!happen(state)) continue;
      const number = enter(state, at, name);
      if (!isFault) sources[number]?.push(at);
    }
  }
  const leadingTo = (goals: readonly number[]): Set<number> => {
    const all = new Set(goals);
    for (const number of all) for (const source of sources[number] ?? []) all.add(source);
    return all;
  };
  const states = texts.length;
  const restful = leadingTo(done);
  const stuck = texts.findIndex((_, number) => !restful.has(number));
  if (stuck >= 0) return { states, found: { what: 'never comes to rest', trace: trace(stuck) } };
  const keeping = leadingTo(kept);
  const broken = promised.find((number) => !keeping.has(number));
  if (broken === undefined) return { states, found: undefined };
  return { states, found: { what: model.promise?.broken ?? '', trace: trace(broken) } };
}
