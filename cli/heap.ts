// How V8 keeps the memory of a process that serves; the flags take effect while it runs.
import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/**
 * For an edge. In a quiet moment V8 shrinks its young generation to a megabyte, and then doubles it
 * again one step at a time: the first seconds of the next burst go by in a hundred collections, which
 * let what is only under way grow old, and old it is collected at a stop. With larger steps it is
 * there at once (measured: a sixth of the time in collections).
 *
 * And from the first requests that it looks at V8 concludes how long lives what a place in the code makes. Where
 * those were kept for a while, by copies that got no answer, it puts what each later request makes there among
 * the old, which then keeps the rest of the request alive (measured in every third process: a full collection
 * every two seconds instead of every half minute, p99 × 1.7). Nothing that a request makes lives long.
 */
export function readyForBursts(): void {
  setFlagsFromString('--semi-space-growth-factor=16');
  setFlagsFromString('--no-allocation-site-pretenuring');
}

const MB = 1_048_576;
/** Of a young generation, both halves: where it is to be at once, and where it stops. */
const YOUNG = { soon: 32 * MB, most: 64 * MB };

/**
 * For sync, whose memory must not follow the size of a transaction: where a machine has memory to spare,
 * V8 lets garbage lie until the heap has grown manifold. Here it collects once half of what is alive has
 * been added, and the young generation does not come to the 128 MB that V8 would let it have. (One that
 * stays small would take less still, and cost a tenth of the throughput.)
 */
export function keepSmall(): void {
  setFlagsFromString('--heap-growing-percent=50');
  let factor = 0;
  const steer = (): void => {
    const spaces = getHeapSpaceStatistics();
    const young = spaces.find(({ space_name: name }) => name === 'new_space')?.space_size ?? 0;
    const next = young < YOUNG.soon ? 16 : young < YOUNG.most ? 2 : 1;
    if (next === factor) return;
    factor = next;
    setFlagsFromString(`--semi-space-growth-factor=${factor}`);
  };
  steer();
  // Each collection may have let it grow, or shrink.
  new PerformanceObserver(steer).observe({ entryTypes: ['gc'] });
}
