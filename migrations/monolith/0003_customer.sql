-- Up Migration
CREATE SEQUENCE seq_cust;

CREATE TABLE cust (
  cust_id bigint PRIMARY KEY DEFAULT nextval('seq_cust'),
  cust_nm varchar(120) NOT NULL,
  eml varchar(160) NOT NULL CONSTRAINT uq_cust_eml UNIQUE,
  custtyp char(1) NOT NULL CONSTRAINT fk_cust_typ REFERENCES custtyp (custtyp),
  ctry_cd char(2) NOT NULL CONSTRAINT fk_cust_ctry REFERENCES ctry (ctry_cd),
  sts char(1) NOT NULL DEFAULT 'A' CONSTRAINT ck_cust_sts CHECK (sts IN ('A', 'B')),
  crt_dt timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
  upd_dt timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
);

-- Down Migration
DROP TABLE cust;
DROP SEQUENCE seq_cust;
