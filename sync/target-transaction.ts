// The one transaction at the target in which a batch has its effect: begun when there is something to
// write. A part of it can be run so that it has all its effect or none, and what refuses it is no end.
import type pg from 'pg';

export class TargetTransaction {
  readonly #client: pg.Client;
  #begun = false;
  /** How many savepoints lie inside each other. */
  #depth = 0;

  constructor(client: pg.Client) {
    this.#client = client;
  }

  /** `first` is a statement that follows it at once, in the same round trip. */
  async begin(first?: string): Promise<void> {
    const statements = [...(this.#begun ? [] : ['BEGIN']), ...(first === undefined ? [] : [first])];
    this.#begun = true;
    if (statements.length > 0) await this.#client.query(statements.join('; '));
  }

  async rollback(): Promise<void> {
    if (this.#begun) await this.#client.query('ROLLBACK').catch(() => undefined);
  }

  /** Checks what is deferred. Throws what it finds. */
  async checkDeferred(): Promise<void> {
    if (this.#begun) await this.#client.query('SET CONSTRAINTS ALL IMMEDIATE');
  }

  /**
   * Runs `work` under a savepoint; gives the refusal, and leaves no effect, where it is one of the given
   * kind. Deferred constraints are looked at `now`, before it counts, or later.
   */
  async whole(
    work: () => Promise<void>,
    isOne: (error: unknown) => boolean,
    now = true,
  ): Promise<unknown> {
    await this.begin();
    // Each has a name of its own: what an inner one does not tolerate the outer one undoes as a whole.
    const savepoint = `tolerated_${(this.#depth += 1)}`;
    try {
      await this.#client.query(`SAVEPOINT ${savepoint}`);
      await work();
      if (now) await this.#client.query('SET CONSTRAINTS ALL IMMEDIATE');
      await this.#client.query(`RELEASE SAVEPOINT ${savepoint}`);
      return undefined;
    } catch (error) {
      if (!isOne(error)) throw error;
      await this.#client.query(
        `ROLLBACK TO SAVEPOINT ${savepoint}; RELEASE SAVEPOINT ${savepoint}`,
      );
      return error;
    } finally {
      this.#depth -= 1;
    }
  }
}
