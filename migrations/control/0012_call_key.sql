-- Up Migration
-- What the replicas of the edge sign the calls with that they forward, by turns: the newest signs, the
-- one before it is still believed.
CREATE TABLE banyan.call_key (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key bytea NOT NULL,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Down Migration
DROP TABLE banyan.call_key;
