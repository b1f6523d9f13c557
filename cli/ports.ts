import { InvalidArgumentError, Option } from 'commander';

/** An option that takes a TCP port; 0 takes a free one. */
export function portOption(flags: string, description: string, fallback: number): Option {
  return new Option(flags, `${description} (0: a free one)`).default(fallback).argParser(readPort);
}

/** Throws what commander reports. */
export function readPort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) throw new InvalidArgumentError('Not a port number.');
  return port;
}
