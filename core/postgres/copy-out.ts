// COPY … TO STDOUT over pg's connection: rows in the text format of COPY, as they are on the wire, and
// so without being parsed. Like copyIn, a query object that speaks the protocol (PostgreSQL
// documentation, "COPY Operations": each message of the server is one row).
import type pg from 'pg';

export interface CopiedOut {
  /** Rows of the other statements. */
  readonly rows: readonly (readonly (string | null)[])[];
  /** How many rows the COPY gave, and their lines. */
  readonly count: number;
  readonly lines: Buffer;
}

/** Runs statements of which one is `COPY (query) TO STDOUT`. Rejects with the server's error. */
export function copyOut(client: pg.Client, text: string): Promise<CopiedOut> {
  return new Promise((resolve, reject) => {
    client.query(new CopyOut(text, resolve, reject) as unknown as pg.Submittable);
  });
}

class CopyOut {
  readonly #text: string;
  readonly #resolve: (copied: CopiedOut) => void;
  readonly #reject: (error: Error) => void;
  readonly #rows: (readonly (string | null)[])[] = [];
  // One piece of memory for all of them: rows that were kept one by one would be work for the collector.
  #lines = Buffer.allocUnsafe(65_536);
  #bytes = 0;
  #count = 0;
  #error: Error | undefined;

  constructor(text: string, resolve: (copied: CopiedOut) => void, reject: (error: Error) => void) {
    this.#text = text;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(connection: { query(text: string): void }): void {
    connection.query(this.#text);
  }

  handleRowDescription(): void {
    // All of it is text.
  }

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    this.#rows.push(fields);
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    if (this.#bytes + chunk.length > this.#lines.length) {
      const larger = Buffer.allocUnsafe(2 * (this.#bytes + chunk.length));
      this.#lines.copy(larger, 0, 0, this.#bytes);
      this.#lines = larger;
    }
    chunk.copy(this.#lines, this.#bytes);
    this.#bytes += chunk.length;
    this.#count += 1;
  }

  handleCommandComplete(): void {
    // The server is ready for the next query only after the last of them.
  }

  handleError(error: Error): void {
    this.#error ??= error;
    this.#reject(this.#error);
  }

  handleReadyForQuery(): void {
    if (!this.#error)
      this.#resolve({
        rows: this.#rows,
        count: this.#count,
        lines: this.#lines.subarray(0, this.#bytes),
      });
  }
}
