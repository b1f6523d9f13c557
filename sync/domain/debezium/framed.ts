// Takes `{"schema":…,"payload":…}` apart. The schema of a topic's records is large and seldom
// changes: it is read once, and recognised by its text from then on.
import { isObject, readJson, readMember, type Json, type JsonObject } from './json-text.ts';

interface Frame {
  /** Text up to the payload. */
  readonly start: string;
  readonly schema: JsonObject;
}

export interface Content {
  readonly payload: Json;
  readonly schema: JsonObject | undefined;
}

const START = '{"schema":';
const PAYLOAD = ',"payload":';

export class Framed {
  readonly #frames = new Map<string, Frame>();

  /** Throws FLOW_STOPPED when the text is not JSON. */
  read(topic: string, text: string): Content {
    const known = this.#frames.get(topic);
    if (known && text.startsWith(known.start))
      return { payload: readMember(text, known.start.length).value, schema: known.schema };
    return text.startsWith(START) ? this.#first(topic, text) : unframed(readJson(text));
  }

  #first(topic: string, text: string): Content {
    const { value: schema, end } = readMember(text, START.length);
    if (!isObject(schema) || !text.startsWith(PAYLOAD, end)) return unframed(readJson(text));
    const start = text.substring(0, end + PAYLOAD.length);
    this.#frames.set(topic, { start, schema });
    return { payload: readMember(text, start.length).value, schema };
  }
}

/** A frame in another order or with spaces is taken apart all the same. */
function unframed(json: Json): Content {
  if (!isObject(json) || json.size !== 2) return { payload: json, schema: undefined };
  const schema = json.get('schema');
  const payload = json.get('payload');
  if (payload === undefined || schema === undefined) return { payload: json, schema: undefined };
  return { payload, schema: isObject(schema) ? schema : undefined };
}
