-- Up Migration
-- A webhook is known by its name: which one of the definition's list it is may change. What was due under a
-- number is given up after a day, as for any webhook that is not there any more.
ALTER TABLE banyan.webhook_delivery ALTER COLUMN hook TYPE text;

-- What is yet to be told is looked for all the time, and is little among what has been.
DROP INDEX banyan.webhook_due;
CREATE INDEX webhook_due ON banyan.webhook_delivery (capability, hook, journal_id)
  WHERE delivered_at IS NULL;

-- Down Migration
DROP INDEX banyan.webhook_due;
DELETE FROM banyan.webhook_delivery WHERE hook !~ '^[0-9]+$';
ALTER TABLE banyan.webhook_delivery ALTER COLUMN hook TYPE integer USING hook::integer;
CREATE INDEX webhook_due ON banyan.webhook_delivery (next_at)
  WHERE delivered_at IS NULL AND NOT given_up;
