// Structured logs: JSON lines on stderr, so that stdout stays for answers. The logger is handed
// down explicitly; nothing here is global.
import winston from 'winston';

export type Logger = Pick<winston.Logger, 'debug' | 'info' | 'warn' | 'error'>;

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** A logger whose lines carry `fields` (for example `{ part: 'sync' }`). */
export function createLogger(fields: Record<string, string>, level: LogLevel = 'info'): Logger {
  return winston.createLogger({
    silent: level === 'silent',
    level: level === 'silent' ? 'error' : level,
    defaultMeta: fields,
    format: winston.format.combine(
      winston.format.errors({ stack: true }),
      winston.format.timestamp(),
      winston.format.json({ bigint: true }),
    ),
    // winston declares its own transports as interfaces, which this rule takes for foreign ones.
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment
    transports: [new winston.transports.Stream({ stream: process.stderr })],
  });
}
