-- Up Migration
-- A rollout: one row per capability, driven by one process at a time. `revision` is what whoever writes
-- must have read, so that a driver that wakes up late changes nothing; the lease says whether one lives.

CREATE TABLE banyan.rollout (
  capability text PRIMARY KEY,
  status text NOT NULL
    CHECK (status IN ('running', 'paused', 'stuck', 'rolling back', 'done', 'rolled back', 'aborted')),
  revision bigint NOT NULL DEFAULT 1,
  who text NOT NULL,
  why text NOT NULL DEFAULT '',
  began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  holder text,
  lease_until timestamptz NOT NULL DEFAULT '-infinity',
  -- Where the rollout has put the capability, and with which version of its state.
  phase text NOT NULL,
  weight numeric(5, 2) NOT NULL,
  version bigint NOT NULL,
  step_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Where it is about to put it: said before the move, so that whoever takes over knows it for ours.
  going jsonb,
  attempts integer NOT NULL DEFAULT 0,
  -- What is to be kept between two looks at the answers.
  watch jsonb
);

-- What is still to be told, or has been: one row for each line of the journal and each webhook.
CREATE TABLE banyan.webhook_delivery (
  journal_id bigint NOT NULL REFERENCES banyan.journal ON DELETE CASCADE,
  hook integer NOT NULL,
  capability text NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  delivered_at timestamptz,
  given_up boolean NOT NULL DEFAULT false,
  error text,
  PRIMARY KEY (journal_id, hook)
);
CREATE INDEX webhook_due ON banyan.webhook_delivery (next_at)
  WHERE delivered_at IS NULL AND NOT given_up;

-- Down Migration
DROP TABLE banyan.webhook_delivery, banyan.rollout;
