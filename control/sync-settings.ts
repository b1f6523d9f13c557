// What a team may set of the sync layer; the shape of `sync` in a definition.
import { z } from 'zod';

/** Under `sync` in a definition. */
export const sync = z
  .strictObject({
    /** WAL that a source keeps for one flow at which an alarm is logged; half of the server's own limit raises one too. */
    walAlarmBytes: z.number().int().positive().default(1_073_741_824),
    /** How long a stream or a session may say nothing, although it was asked, before it is connected anew. */
    silenceMs: z.number().int().min(4_000).default(60_000),
    /** Tables of a flow that are copied side by side, where no foreign key ties them; each takes a connection to the source. */
    copyTables: z.number().int().min(1).max(16).default(2),
    /** Rows a second that a flow's copy may read at its source, over all its tables; as fast as the source allows where left out. */
    copyRowsPerSecond: z.number().int().positive().optional(),
  })
  .prefault({});
