-- Up Migration
-- What each relay of a source database to Kafka reports of itself.
CREATE TABLE banyan.relay (
  -- `monolith`, or the service whose database it is.
  source text PRIMARY KEY,
  status text NOT NULL,
  holder text,
  error_code text,
  error text,
  -- timeline/commit LSN/seq of the last transaction that the brokers have acknowledged.
  position text,
  -- Up to when all that had been committed is with the brokers.
  complete_at timestamptz,
  lag_p50_ms double precision,
  lag_p99_ms double precision,
  written bigint NOT NULL DEFAULT 0,
  -- WAL that is not with the brokers yet, and WAL that the source keeps for the slot.
  behind_bytes bigint,
  retained_bytes bigint,
  -- When another relay last said that it stands by.
  standby_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Who has worked a source's slot, one line each time it changed hands. The last line of a source is the
-- lease: only who has seen it stand still for a while may add the next one and end the session of its
-- holder.
CREATE TABLE banyan.relay_term (
  source text NOT NULL,
  term bigint NOT NULL,
  holder text NOT NULL,
  why text NOT NULL,
  began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  renewed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Its holder has let go, or tries anew: nobody need wait.
  released boolean NOT NULL DEFAULT false,
  PRIMARY KEY (source, term)
);

-- Down Migration
DROP TABLE banyan.relay_term, banyan.relay;
