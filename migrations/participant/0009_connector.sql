-- Up Migration
-- What a flow needs that reads the topics of a Debezium connector. Who owned what from which place in the
-- WAL on, for our messages do not stand among its records:
CREATE TABLE banyan.ownership_change (
  capability text NOT NULL,
  epoch bigint NOT NULL,
  lsn pg_lsn NOT NULL,
  message text NOT NULL,
  PRIMARY KEY (capability, lsn)
);
-- and of a partition, where in the WAL the last change was (commit_lsn is that of the transaction before
-- it), of which rows, for those of one COPY stand at one place, and whether the last record does not say
-- where its change was made.
ALTER TABLE banyan.log_offset ADD COLUMN change_lsn pg_lsn, ADD COLUMN change_keys jsonb, ADD COLUMN originless boolean NOT NULL DEFAULT false;

-- Down Migration
ALTER TABLE banyan.log_offset DROP COLUMN change_lsn, DROP COLUMN change_keys, DROP COLUMN originless;
DROP TABLE banyan.ownership_change;
