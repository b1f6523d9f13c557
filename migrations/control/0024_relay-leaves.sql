-- Up Migration
-- Set where no flow needs a relay any more, and its outbox has events up to there that are to be sent first.
ALTER TABLE banyan.relay ADD COLUMN leaves pg_lsn;

-- Down Migration
ALTER TABLE banyan.relay DROP COLUMN leaves;
