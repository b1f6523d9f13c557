// Errors that a caller may see, as RFC 9457 problem documents. Whatever is not a Problem becomes a
// 500 that says nothing about the inside; its cause goes to `onError`.
import { STATUS_CODES } from 'node:http';
import type { ErrorRequestHandler, RequestHandler, Response } from 'express';

export interface Issue {
  readonly path: string;
  readonly message: string;
}

export class Problem extends Error {
  readonly status: number;
  readonly issues: readonly Issue[] | undefined;

  constructor(status: number, detail: string, issues?: readonly Issue[]) {
    super(detail);
    this.name = 'Problem';
    this.status = status;
    this.issues = issues;
  }
}

export const notFound = (what: string, id: number): Problem =>
  new Problem(404, `there is no ${what} ${id}`);

export const invalid = (issues: readonly Issue[]): Problem =>
  new Problem(400, 'the request is not valid', issues);

/** Ends the chain of routes: nothing matched. */
export const noSuchRoute: RequestHandler = (_request, response) => {
  send(response, new Problem(404, 'there is no such route'));
};

/** Takes an error that no caller may see. */
export type OnError = (error: unknown) => void;

/** One JSON line on stderr. */
export const logError: OnError = (error) => {
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`${JSON.stringify({ level: 'error', message })}\n`);
};

/** Express needs the fourth parameter to know an error handler. */
export const problemHandler =
  (onError: OnError): ErrorRequestHandler =>
  (error: unknown, _request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const problem = problemOf(error);
    if (problem.status >= 500) onError(error);
    send(response, problem);
  };

function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const status = clientErrorStatus(error);
  if (status !== undefined) return new Problem(status, bodyDetail(status));
  return new Problem(500, 'something went wrong on our side');
}

/** 4xx errors of Express and its body parser carry their status. */
function clientErrorStatus(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('status' in error)) return undefined;
  const { status } = error;
  return typeof status === 'number' && status >= 400 && status < 500 ? status : undefined;
}

function bodyDetail(status: number): string {
  if (status === 413) return 'the body is too large';
  if (status === 415) return 'the body has an encoding that is not supported';
  return 'the request cannot be read';
}

function send(response: Response, problem: Problem): void {
  response.status(problem.status).type('application/problem+json');
  response.send(
    JSON.stringify({
      type: 'about:blank',
      title: STATUS_CODES[problem.status],
      status: problem.status,
      detail: problem.message,
      ...(problem.issues && { issues: problem.issues }),
    }),
  );
}
