-- Up Migration
-- Of a flow with a slot of its own: what the source was told at most that it may forget. A slot that has
-- forgotten more was made anew, or moved by somebody else; or what is here was set back.
ALTER TABLE banyan.checkpoint ADD COLUMN confirmed pg_lsn;

-- Down Migration
ALTER TABLE banyan.checkpoint DROP COLUMN confirmed;
