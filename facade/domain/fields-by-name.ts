// Header fields as Node's client and http-proxy-middleware take them.

/**
 * Values by name, in the spelling and order of first occurrence; `except` names fields in lower case
 * that are left out.
 */
export function fieldsByName(
  fields: readonly string[],
  except: ReadonlySet<string> = new Set(),
): Record<string, string | string[]> {
  const names = new Map<string, string>();
  // Without a prototype `__proto__` is a name like any other.
  const found = Object.create(null) as Record<string, string | string[]>;
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const lower = fields[at]?.toLowerCase() ?? '';
    if (except.has(lower)) continue;
    const name = names.get(lower) ?? fields[at] ?? '';
    names.set(lower, name);
    const value = fields[at + 1] ?? '';
    const before = found[name];
    found[name] = before === undefined ? value : [before, value].flat();
  }
  return found;
}
