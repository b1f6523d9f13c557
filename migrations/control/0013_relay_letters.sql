-- Up Migration
-- Rows of outboxes that could not be events, since the relay's process started.
ALTER TABLE banyan.relay ADD COLUMN letters bigint NOT NULL DEFAULT 0;

-- Down Migration
ALTER TABLE banyan.relay DROP COLUMN letters;
