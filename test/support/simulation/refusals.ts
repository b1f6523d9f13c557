// What refuses changes at the targets of a schedule, from now on or no more.
import type { World } from './world.ts';

/** Whether appliers are refused rows named bad. */
export async function refuseBad(world: World, is: boolean): Promise<void> {
  for (const { client } of Object.values(world.sides))
    await client.query(`UPDATE sim.refusing SET active = ${is}`);
}

/** Whatever refused a change is mended, and what was parked is asked for again. */
export async function mend(world: World): Promise<void> {
  for (const { client, name } of Object.values(world.sides))
    await client.query(
      `UPDATE sim.refusing SET active = false; UPDATE banyan.parked SET retry = true;
       ${name === 'service' ? 'DELETE FROM review' : ''}`,
    );
}
