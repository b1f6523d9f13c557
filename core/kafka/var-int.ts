// Numbers of 32 bits as Kafka's records have them: zigzag, seven bits a byte.

export function sizeOfVarInt(value: number): number {
  const rest = zigzag(value);
  if (rest < 0x80) return 1;
  if (rest < 0x4000) return 2;
  if (rest < 0x200000) return 3;
  return rest < 0x10000000 ? 4 : 5;
}

/** Gives where it ends. */
export function writeVarInt(target: Buffer, value: number, at: number): number {
  let rest = zigzag(value);
  let end = at;
  while (rest > 127) {
    target[end++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  target[end++] = rest;
  return end;
}

function zigzag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0;
}
