-- Up Migration
CREATE SEQUENCE seq_prdcat;

CREATE TABLE prdcat (
  cat_id bigint PRIMARY KEY DEFAULT nextval('seq_prdcat'),
  cat_cd varchar(20) NOT NULL CONSTRAINT uq_prdcat_cd UNIQUE,
  cat_nm varchar(80) NOT NULL,
  par_cat_id bigint CONSTRAINT fk_prdcat_par REFERENCES prdcat (cat_id),
  sts char(1) NOT NULL DEFAULT 'A' CONSTRAINT ck_prdcat_sts CHECK (sts IN ('A', 'I'))
);

CREATE SEQUENCE seq_prd;

CREATE TABLE prd (
  prd_id bigint PRIMARY KEY DEFAULT nextval('seq_prd'),
  prd_no varchar(32) NOT NULL CONSTRAINT uq_prd_no UNIQUE,
  prd_nm varchar(120) NOT NULL,
  prd_dsc text NOT NULL DEFAULT '',
  prc numeric(12, 2) NOT NULL CONSTRAINT ck_prd_prc CHECK (prc >= 0),
  cur char(3) NOT NULL DEFAULT 'EUR',
  sts char(1) NOT NULL DEFAULT 'A' CONSTRAINT ck_prd_sts CHECK (sts IN ('A', 'S', 'D')),
  cat_id bigint NOT NULL CONSTRAINT fk_prd_cat REFERENCES prdcat (cat_id),
  prdcd varchar(8) NOT NULL CONSTRAINT fk_prd_prdcd REFERENCES prdcd (prdcd),
  stk_qty integer NOT NULL DEFAULT 0 CONSTRAINT ck_prd_stk CHECK (stk_qty >= 0),
  crt_dt timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC'),
  upd_dt timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')
);

CREATE INDEX ix_prd_cat ON prd (cat_id, prd_id);

-- Down Migration
DROP TABLE prd;
DROP SEQUENCE seq_prd;
DROP TABLE prdcat;
DROP SEQUENCE seq_prdcat;
