-- Up Migration
-- Parts of a merged row whose driver is not there: read again when it comes. Nothing waits for them.
CREATE TABLE banyan.orphan (
  flow text NOT NULL,
  source_table text NOT NULL,
  key text[] NOT NULL,
  PRIMARY KEY (flow, source_table, key)
);

-- Down Migration
DROP TABLE banyan.orphan;
