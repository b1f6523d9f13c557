// The facade as it stands alone, with its capability cut over, between a raw client and two upstreams
// that record each byte.
import { serveEdge } from '../support/edge.ts';
import { serve, type TestServer } from '../support/http.ts';
import { serveRecorder, type Recorder } from '../support/recorder.ts';
import { dataServer } from '../../facade/server.ts';

export interface WireEdge {
  readonly port: number;
  readonly monolith: Recorder;
  readonly service: Recorder;
  readonly inFlight: () => number;
  /** Forgets what the upstreams have recorded. */
  forget(): void;
  close(): Promise<void>;
}

/** Starts it; `/api/products` and `/api/products/:id` belong to the service. */
export async function startWire(): Promise<WireEdge> {
  const monolith = await serveRecorder();
  const service = await serveRecorder();
  const behind = await serveEdge({ monolith: monolith.url, service: service.url });
  behind.set({ phase: 'cutover' });
  const front: TestServer = await serve(() => undefined, dataServer(behind.edge));
  return {
    port: front.port,
    monolith,
    service,
    inFlight: () => behind.edge.inFlight(),
    forget: () => {
      monolith.forget();
      service.forget();
    },
    close: async () => {
      await front.close();
      await behind.close();
      await monolith.close();
      await service.close();
    },
  };
}
