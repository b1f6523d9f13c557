// The Host field. What is passed on must be one host to every reader, so its form is checked strictly:
// a registered name or an address, and a port (RFC 3986 §3.2.2), never empty for http (RFC 9110 §4.2.1).
import { remembered } from './remembered.ts';

/** Whether a Host field names a host. */
export const isHost: (value: string) => boolean = remembered((value) => {
  const parts = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(value);
  if (!parts) return false;
  const [, host = '', port] = parts;
  if (port !== undefined && Number(port) > 65_535) return false;
  return host.startsWith('[') ? isAddress(host.slice(1, -1)) : isName(host);
});

function isName(host: string): boolean {
  return /^[\w\-~!$&'()*+,;=%.]+$/.test(host) && !/^\.|\.\.|%(?![0-9a-f]{2})|,/i.test(host);
}

/** IPv6 as far as a reader of Host must know it: groups of hexadecimal digits, at most one gap. */
function isAddress(text: string): boolean {
  if (!/^[0-9a-f:.]+$/i.test(text)) return false;
  const halves = text.split('::');
  const groups = text.split(/::?/).filter((group) => group !== '');
  const last = groups.at(-1) ?? '';
  const hasV4 = /^\d{1,3}(?:\.\d{1,3}){3}$/.test(last);
  const count = groups.length + (hasV4 ? 1 : 0);
  return (
    halves.length <= 2 &&
    (halves.length === 2 ? count < 8 : count === 8) &&
    (hasV4 ? groups.slice(0, -1) : groups).every((group) => /^[0-9a-f]{1,4}$/i.test(group))
  );
}
