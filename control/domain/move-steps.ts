// What a move does, step by step, and what each step touches, for who wants to know it before it is done:
// nothing here does anything. The steps of a switch bear the names that its journal will have.
import type { Direction } from './flow.ts';
import type { MoveKind, PlannedMove } from './move.ts';
import type { FlowNames } from './names.ts';
import { flowsOf, ownerOf, type Owner, type Phase } from './phase.ts';
import type { CapabilityState } from './state.ts';

export interface PlannedStep {
  readonly step: string;
  /** One line each: what is changed or waited for, and in which database. */
  readonly touches: readonly string[];
}

/** What of a capability there is to be touched. */
export interface MoveParts {
  readonly capability: string;
  readonly leaves: 'nothing' | 'copy';
  /** Facades that are heard of. */
  readonly replicas: readonly string[];
  /** None for a capability without tables. */
  readonly data: DataParts | undefined;
}

export interface DataParts {
  readonly flows: Readonly<Record<Direction, FlowParts>>;
  readonly sides: Readonly<Record<Owner, SideParts>>;
}

export interface FlowParts extends Pick<FlowNames, 'flow' | 'slot' | 'publication' | 'origin'> {
  /** Who else brings its changes: it has no slot and no publication of its own then. */
  readonly through: 'relay' | 'connector' | undefined;
}

export interface SideParts {
  readonly database: string;
  /** `schema.table`, in the order in which they are locked. */
  readonly tables: readonly string[];
  /** Behind its keys. */
  readonly sequences: readonly string[];
}

type From = Pick<CapabilityState, 'phase' | 'shared'>;
type To = Pick<PlannedMove, 'to' | 'weight'>;

export function moveSteps(kind: MoveKind, from: From, move: To, parts: MoveParts): PlannedStep[] {
  const steps = stepsOf(kind, from, move, parts);
  return steps.filter(({ touches }) => touches.length > 0);
}

function stepsOf(kind: MoveKind, from: From, move: To, parts: MoveParts): PlannedStep[] {
  switch (kind) {
    case 'switch':
      return switchSteps(from, move, parts);
    case 'opens to cohorts':
      return [
        ...(from.phase === move.to ? [] : restSteps(from.phase, { ...move, weight: 0 }, parts)),
        ...openingSteps(move, parts),
      ];
    case 'switch, then the move':
      return [
        ...switchSteps(from, { to: from.phase, weight: 0 }, parts),
        ...restSteps(from.phase, move, parts),
      ];
    case 'move':
      return restSteps(from.phase, move, parts);
  }
}

function switchSteps(
  from: From,
  move: To,
  { capability, replicas, data }: MoveParts,
): PlannedStep[] {
  const [previous, next] = [ownerOf(from.phase), ownerOf(move.to)];
  const changes = previous !== next;
  const facades = (what: string): string[] => replicas.map((id) => `facade ${id} ${what}`);
  const waits = (direction: Direction): string[] =>
    data ? [`waits for flow ${data.flows[direction].flow}`] : [];
  const closed = changes ? previous : 'service';
  const drains: Direction = closed === 'monolith' ? 'to' : 'back';
  const taken: PlannedStep[] = from.shared
    ? [
        { step: 'drained back', touches: [...triggersOf(data, 'service'), ...waits('back')] },
        { step: 'fenced', touches: triggersOf(data, 'monolith') },
        { step: 'drained', touches: waits('to') },
      ]
    : [
        { step: 'fenced', touches: triggersOf(data, closed) },
        { step: 'drained', touches: waits(drains) },
      ];
  return [
    {
      step: 'checked',
      // One is closed and the other opened: both take locks.
      touches: (['monolith', 'service'] as const).flatMap(
        (side) =>
          data?.sides[side].tables.map(
            (table) => `looks who keeps ${table} locked${at(data, side)}`,
          ) ?? [],
      ),
    },
    {
      step: 'held',
      touches: [controlOf(`holds the writes of ${capability}`), ...facades('holds')],
    },
    ...taken,
    {
      step: 'sequences',
      touches:
        changes && data
          ? data.sides[next].sequences.map((name) => `raises ${name}${at(data, next)}`)
          : [],
    },
    { step: 'flipped', touches: [controlOf(`${from.phase} → ${placeOf(move)}`)] },
    { step: 'unfenced', touches: changes ? triggersOf(data, next) : [] },
    {
      step: 'released',
      touches: [
        controlOf(`holds the writes of ${capability} no more`),
        ...facades(`forwards what it held to the ${next}`),
      ],
    },
  ];
}

function openingSteps({ weight }: To, { capability, data }: MoveParts): PlannedStep[] {
  return [
    {
      step: 'shared',
      touches: data
        ? [
            ...triggersOf(data, 'monolith'),
            `waits for flow ${data.flows.to.flow}`,
            ...triggersOf(data, 'service'),
            `waits for flow ${data.flows.back.flow}`,
          ]
        : [],
    },
    {
      step: 'flipped',
      touches: [controlOf(`${weight} % of the cohorts of ${capability} write to the service`)],
    },
  ];
}

/** A move that takes the right to write from nobody. */
function restSteps(from: Phase, move: To, { data, leaves }: MoveParts): PlannedStep[] {
  const changed = { step: 'changed', touches: [controlOf(`${from} → ${placeOf(move)}`)] };
  if (!data) return [changed];
  const before = flowsOf(from, { hasTables: true, leaves });
  const after = flowsOf(move.to, { hasTables: true, leaves });
  const directions = ['to', 'back'] as const;
  const made = directions.filter((one) => after[one] && !before[one]);
  const gone = directions.filter((one) => before[one] && !after[one]);
  const isLast = before.to && !after.to;
  const sides = ['monolith', 'service'] as const;
  return [
    {
      step: 'built',
      touches: [
        ...(made.includes('to')
          ? [
              ...sides.map((side) => `makes schema banyan${at(data, side)}`),
              ...triggersOf(data, 'service'),
            ]
          : []),
        ...made.flatMap((one) => flowLines(data, one, 'makes')),
      ],
    },
    changed,
    {
      step: 'removed',
      touches: [
        ...gone.flatMap((one) => flowLines(data, one, 'removes')),
        ...(isLast && move.to === 'retired'
          ? data.sides.monolith.tables.map(
              (table) =>
                `revokes the right to write ${table} from everybody${at(data, 'monolith')}`,
            )
          : []),
        ...(isLast
          ? sides.flatMap((side) => [
              ...data.sides[side].tables.map(
                (table) => `removes triggers on ${table}${at(data, side)}`,
              ),
              `removes what is ours in schema banyan${at(data, side)}`,
            ])
          : []),
      ],
    },
  ];
}

function flowLines(data: DataParts, direction: Direction, does: 'makes' | 'removes'): string[] {
  const { slot, publication, flow, origin, through } = data.flows[direction];
  const [source, target] =
    direction === 'to' ? (['monolith', 'service'] as const) : (['service', 'monolith'] as const);
  const bringer =
    through === undefined
      ? [`publication ${publication} and slot ${slot}`]
      : [`its tables ${does === 'makes' ? 'in' : 'from'} what the ${through} brings`];
  return [
    ...bringer.map((what) => `${does} ${what}${at(data, source)}`),
    `${does} the checkpoint of ${flow} and origin ${origin}${at(data, target)}`,
  ];
}

function triggersOf(data: DataParts | undefined, side: Owner): string[] {
  return data
    ? data.sides[side].tables.map((one) => `sets triggers on ${one}${at(data, side)}`)
    : [];
}

function at(data: DataParts, side: Owner): string {
  return `, in the ${side}'s database ${data.sides[side].database}`;
}

function controlOf(what: string): string {
  return `${what}, in the control database`;
}

function placeOf({ to, weight }: To): string {
  return to === 'canary' ? `canary at ${weight} %` : to;
}
