-- Up Migration
-- What the replicas of the edge sign with, so that each can read what another has signed.
CREATE TABLE banyan.signing_key (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  key bytea NOT NULL
);
INSERT INTO banyan.signing_key (key)
VALUES (sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));

-- Down Migration
DROP TABLE banyan.signing_key;
