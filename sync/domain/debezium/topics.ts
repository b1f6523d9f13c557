// Names of topics, as the connector makes them.

const NOT_IN_TOPICS = /[^\w.-]/g;

/** Kafka's topics have letters, digits, dots, dashes and underscores; the connector does the same. */
export function topicName(name: string): string {
  return name.replace(NOT_IN_TOPICS, '_');
}
