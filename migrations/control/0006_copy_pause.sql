-- Up Migration
-- The copy of a capability's tables can be paused by itself.
ALTER TABLE banyan.flow_pause
  ADD COLUMN what text NOT NULL DEFAULT 'flows' CHECK (what IN ('flows', 'copy')),
  DROP CONSTRAINT flow_pause_pkey,
  ADD PRIMARY KEY (capability, what);

-- Down Migration
DELETE FROM banyan.flow_pause WHERE what = 'copy';
ALTER TABLE banyan.flow_pause
  DROP CONSTRAINT flow_pause_pkey,
  DROP COLUMN what,
  ADD PRIMARY KEY (capability);
