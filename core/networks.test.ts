import { describe, expect, test } from '@jest/globals';
import { isWithin, parseNetworks } from './networks.ts';

const within = (entry: string, address: string): boolean =>
  isWithin(parseNetworks(entry) ?? [], address);

describe('networks', () => {
  test.each([
    ['10.0.0.0/8', '10.1.2.3'],
    ['10.1.2.3', '10.1.2.3'],
    ['10.1.2.3', '::ffff:10.1.2.3'],
    ['::ffff:10.0.0.0/104', '10.1.2.3'],
    ['2001:db8::/32', '2001:db8:1::1'],
    ['::1', '::1'],
    ['loopback', '127.8.8.8'],
    ['loopback', '::1'],
    ['private', '192.168.1.1'],
    ['private', 'fd00::1'],
    ['0.0.0.0/0', '8.8.8.8'],
  ])('%s holds %s', (entry, address) => {
    expect(within(entry, address)).toBe(true);
  });

  test.each([
    ['10.0.0.0/8', '11.0.0.1'],
    ['10.0.0.0/8', 'unknown'],
    ['10.0.0.0/8', '10.1'],
    ['private', '172.32.0.1'],
    ['loopback', '10.0.0.1'],
    ['::/0', '8.8.8.8'],
    ['0.0.0.0/0', '2001:db8::1'],
  ])('%s does not hold %s', (entry, address) => {
    expect(within(entry, address)).toBe(false);
  });

  test.each([
    '',
    'a',
    '10.1',
    '010.0.0.1',
    '0x0a.0.0.1',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/',
    '::1/129',
    'fe80::1%eth0',
    '10.0.0.0/8/8',
    'toString',
    '1.2.3.4/8 ',
  ])('%j names none', (entry) => {
    expect(parseNetworks(entry)).toBeUndefined();
  });
});
