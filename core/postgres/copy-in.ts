// COPY … FROM STDIN over pg's connection, for rows that are in memory already. The driver has no call
// of its own for it and lets a query object speak the protocol (PostgreSQL documentation, "COPY
// Operations"); this is the smallest one. The rows are sent right behind the statement, without
// waiting for the server to ask for them: one that refuses the statement drops them.
import type pg from 'pg';

interface CopyConnection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

/**
 * Runs statements of which one is `COPY table (columns) FROM STDIN`, with rows in its text format.
 * Rejects with the server's error.
 */
export function copyIn(client: pg.Client, text: string, rows: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    client.query(new CopyIn(text, rows, resolve, reject) as unknown as pg.Submittable);
  });
}

class CopyIn {
  readonly #text: string;
  readonly #rows: Buffer;
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;
  #error: Error | undefined;

  constructor(text: string, rows: Buffer, resolve: () => void, reject: (error: Error) => void) {
    this.#text = text;
    this.#rows = rows;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(connection: CopyConnection): void {
    connection.query(this.#text);
    connection.sendCopyFromChunk(this.#rows);
    connection.endCopyFrom();
  }

  handleCopyInResponse(): void {
    // They are on their way.
  }

  handleCommandComplete(): void {
    // The server is ready for the next query only after this.
  }

  handleError(error: Error): void {
    this.#error ??= error;
    this.#reject(this.#error);
  }

  handleReadyForQuery(): void {
    if (!this.#error) this.#resolve();
  }
}
